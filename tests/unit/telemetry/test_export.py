"""Spans and metrics as a collector receives them, over real HTTP."""

import contextlib
import gzip
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from subgraph import settings
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.telemetry import Telemetry, trace_id

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = [(b"traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode())]
NOT_SAMPLED = [(b"traceparent", f"00-{TRACE}-b7ad6b7169203331-00".encode())]
CANARY = "Key (email)=(jane@example.com) already exists"


@dataclass
class Collector:
    """What an OTLP/HTTP collector was sent."""

    url: str
    bodies: dict[str, list[bytes]] = field(default_factory=dict)

    def environ(self, **more: str) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, **more}

    @property
    def requests(self) -> list[ExportTraceServiceRequest]:
        return [
            ExportTraceServiceRequest.FromString(body) for body in self.bodies.get("/v1/traces", [])
        ]

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def collector() -> Iterator[Collector]:
    bodies: dict[str, list[bytes]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            bodies.setdefault(self.path, []).append(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Collector(f"http://127.0.0.1:{server.server_port}", bodies)
    server.shutdown()
    thread.join()
    server.server_close()


def observed(
    collector: Collector, run: Callable[[Telemetry], None], ratio: str = "1", **environ: str
) -> list[Span]:
    """The spans that `run` made the collector receive."""
    telemetry = Telemetry.start(
        settings.load({"IG_TRACE_SAMPLE_RATIO": ratio}), collector.environ(**environ)
    )
    run(telemetry)
    telemetry.shutdown()
    return collector.spans


def attributes(span: Span) -> dict[str, object]:
    return {
        pair.key: pair.value.string_value
        or pair.value.int_value
        or [item.string_value for item in pair.value.array_value.values]
        for pair in span.attributes
    }


def one_request(telemetry: Telemetry) -> None:
    with (
        telemetry.request_span(SAMPLED, "POST /graphql"),
        telemetry.operation_span("query", "Budget", "portal"),
    ):
        with telemetry.statement_span("budgets", 2):
            pass
        telemetry.operation_finished("Budget", "portal", 0.01, ("FORBIDDEN",), 2)


def test_a_request_an_operation_and_its_statements_are_nested(collector: Collector) -> None:
    spans = {span.name: span for span in observed(collector, one_request)}
    assert (spans["graphql.query"].parent_span_id, spans["budgets"].parent_span_id) == (
        spans["POST /graphql"].span_id,
        spans["graphql.query"].span_id,
    )


def test_a_request_joins_the_trace_of_its_caller(collector: Collector) -> None:
    root = next(s for s in observed(collector, one_request) if s.name == "POST /graphql")
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, "b7ad6b7169203331")


def test_an_operation_span_carries_exactly_this(collector: Collector) -> None:
    span = next(s for s in observed(collector, one_request) if s.name == "graphql.query")
    assert attributes(span) == {
        "graphql.operation.type": "query",
        "graphql.operation.name": "Budget",
        "graphql.client": "portal",
        "graphql.statements": 2,
        "graphql.error_codes": ["FORBIDDEN"],
    }


def test_a_callers_decision_against_sampling_wins(collector: Collector) -> None:
    def run(telemetry: Telemetry) -> None:
        with telemetry.request_span(NOT_SAMPLED, "POST /graphql"):
            pass

    assert observed(collector, run) == []


def test_a_callers_decision_for_sampling_wins(collector: Collector) -> None:
    assert len(observed(collector, one_request, ratio="0")) == 3


def test_the_ratio_is_applied_once_to_new_traces(collector: Collector) -> None:
    def run(telemetry: Telemetry) -> None:
        for _ in range(400):
            with telemetry.request_span([], "POST /graphql"):
                pass

    # 400 draws at one half, six standard deviations wide; applied twice it would give about 100.
    assert 140 <= len(observed(collector, run, ratio="0.5")) <= 260


def test_a_ratio_of_zero_starts_no_trace(collector: Collector) -> None:
    def run(telemetry: Telemetry) -> None:
        with telemetry.request_span([], "x"), telemetry.statement_span("y"):
            pass

    assert observed(collector, run, ratio="0") == []


def test_statements_outside_a_request_make_no_span(collector: Collector) -> None:
    def run(telemetry: Telemetry) -> None:
        with telemetry.statement_span("budgets"):
            pass

    assert observed(collector, run) == []


def test_an_unexpected_exception_is_its_type_only(collector: Collector) -> None:
    def run(telemetry: Telemetry) -> None:
        with pytest.raises(ValueError), telemetry.request_span(SAMPLED, "POST /graphql"):
            raise ValueError(CANARY)

    assert attributes(observed(collector, run)[0]) == {"error.type": "ValueError"}


def test_an_expected_failure_is_its_code(collector: Collector) -> None:
    def run(telemetry: Telemetry) -> None:
        with pytest.raises(SubgraphError), telemetry.request_span(SAMPLED, "POST /graphql"):
            raise SubgraphError(ErrorCode.OVERLOADED)

    assert attributes(observed(collector, run)[0]) == {"error.type": "OVERLOADED"}


def test_no_personal_value_reaches_the_collector(collector: Collector) -> None:
    def run(telemetry: Telemetry) -> None:
        headers = [*SAMPLED, (b"authorization", CANARY.encode()), (b"cookie", CANARY.encode())]
        with (
            contextlib.suppress(ValueError),
            telemetry.request_span(headers, "POST /graphql"),
        ):
            with telemetry.operation_span("query", CANARY, CANARY):
                telemetry.operation_finished(CANARY, CANARY, 0.01, (CANARY,), 1)
            with telemetry.statement_span("budgets"):
                raise ValueError(CANARY)

    observed(collector, run)
    sent = b"".join(body for bodies in collector.bodies.values() for body in bodies)
    assert (len(sent) > 0, b"jane" in sent) == (True, False)


def test_the_trace_is_known_inside_the_request_only(collector: Collector) -> None:
    seen: list[str | None] = []

    def run(telemetry: Telemetry) -> None:
        with telemetry.request_span(SAMPLED, "x"):
            seen.append(trace_id.get())
        with telemetry.request_span(NOT_SAMPLED, "x"):
            seen.append(trace_id.get())
        seen.append(trace_id.get())

    observed(collector, run)
    assert seen == [TRACE, TRACE, None]


@pytest.mark.parametrize(
    ("environ", "name"),
    [({}, "governance-subgraph"), ({"OTEL_SERVICE_NAME": "blue"}, "blue")],
)
def test_the_service_has_a_name(collector: Collector, environ: dict[str, str], name: str) -> None:
    observed(collector, one_request, **environ)
    resource = collector.requests[0].resource_spans[0].resource
    assert {p.key: p.value.string_value for p in resource.attributes}["service.name"] == name


def test_metrics_reach_the_collector_at_shutdown(collector: Collector) -> None:
    observed(collector, one_request)
    request = ExportMetricsServiceRequest.FromString(collector.bodies["/v1/metrics"][-1])
    names = {m.name for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics}
    assert "graphql.operation.duration" in names


def test_without_a_collector_nothing_is_sent_and_no_span_is_made() -> None:
    telemetry = Telemetry.start(settings.load({"IG_TRACE_SAMPLE_RATIO": "1"}), {})
    with (
        telemetry.request_span(SAMPLED, "x") as request,
        telemetry.operation_span("query", None, None) as operation,
    ):
        pass
    telemetry.shutdown()
    assert (request, operation) == (None, None)


def test_a_collector_that_hangs_does_not_hold_up_the_end() -> None:
    gate = threading.Event()

    class Hanging(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            gate.wait()
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hanging)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    telemetry = Telemetry.start(
        settings.load({}),
        {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}"},
    )
    one_request(telemetry)
    telemetry.shutdown(timeout=0.1)
    unfinished = [other for other in threading.enumerate() if other.name == "telemetry-shutdown"]
    gate.set()
    for other in unfinished:
        other.join()
    server.shutdown()
    thread.join()
    server.server_close()
    assert unfinished
