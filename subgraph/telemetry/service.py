"""What the rest of the service calls to be observed."""

import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import Token
from types import TracebackType
from typing import Self

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from subgraph.settings import Settings
from subgraph.telemetry import export
from subgraph.telemetry.keys import KeyNumbers
from subgraph.telemetry.labels import client_label, operation_label
from subgraph.telemetry.metrics import Metrics, PoolUse, known_code, outcome_of
from subgraph.telemetry.request import Headers, caller_trace, trace_id
from subgraph.telemetry.runtime import sample_event_loop
from subgraph.telemetry.traces import NOT_SAMPLED, SpanScope, Traces


class Telemetry:
    """The metrics and traces of one process. Several may live side by side."""

    def __init__(self, metrics: Metrics, traces: Traces | None) -> None:
        self._metrics = metrics
        self._traces = traces

    @classmethod
    def start(cls, settings: Settings, environ: Mapping[str, str]) -> Self:
        """Observe from now on; spans are made only when `environ` names a collector for them."""
        resource = export.resource(environ)
        metrics = Metrics(resource, export.metric_readers(environ))
        exporter = export.span_exporter(environ)
        traces = Traces(resource, settings.trace_sample_ratio, exporter) if exporter else None
        metrics.gc.start()
        return cls(metrics, traces)

    def shutdown(self, timeout: float = 5.0) -> None:
        """Send what is left, within `timeout` seconds; a collector that hangs loses the rest."""
        self._metrics.gc.stop()
        deadline = time.monotonic() + timeout
        closing = [
            threading.Thread(target=provider.shutdown, name="telemetry-shutdown", daemon=True)
            for provider in self._providers()
        ]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join(max(0.0, deadline - time.monotonic()))

    def metrics_page(self) -> tuple[bytes, str]:
        """The body of `/metrics` and its content type."""
        return self._metrics.page()

    def request_span(self, headers: Headers, name: str) -> AbstractContextManager[Span | None]:
        """Around one HTTP request: counts it as in flight, follows the caller's trace.

        `headers` are raw ASGI headers; `name` is ours (`POST /graphql`), never a caller's text.
        Gives the span, or None when the request is not sampled.
        """
        return _RequestScope(self._metrics, self._traces, headers, name)

    def operation_span(
        self, operation_type: str, name: str | None, client: str | None
    ) -> AbstractContextManager[Span | None]:
        """Around one operation of a request: a query, mutation or subscription."""
        if self._traces is None:
            return NOT_SAMPLED
        return self._traces.child(
            f"graphql.{operation_type}",
            SpanKind.INTERNAL,
            {
                "graphql.operation.type": operation_type,
                "graphql.operation.name": operation_label(name),
                "graphql.client": client_label(client),
            },
        )

    def statement_span(self, name: str, statements: int = 1) -> AbstractContextManager[Span | None]:
        """Around one round trip to the database; `name` is that of the loader, never SQL."""
        if self._traces is None:
            return NOT_SAMPLED
        return self._traces.child(name, SpanKind.CLIENT, {"db.statements": statements})

    def operation_finished(
        self,
        name: str | None,
        client: str | None,
        seconds: float,
        error_codes: Sequence[str],
        statements: int,
    ) -> None:
        """Count one finished or refused operation, once.

        `error_codes` holds one `ErrorCode` name per error of the answer. Called inside the
        operation's span, it also completes that.
        """
        self._metrics.operation_finished(name, client, seconds, error_codes, statements)
        if self._traces is None:
            return
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attribute("graphql.statements", statements)
            if error_codes:
                span.set_attribute("graphql.error_codes", sorted(set(map(known_code, error_codes))))
            if outcome_of(error_codes) == "error":
                span.set_status(Status(StatusCode.ERROR))

    def operation_looked_up(self, *, cached: bool) -> None:
        """Count one look-up in the operation cache."""
        if cached:
            self._metrics.cache_hits += 1
        else:
            self._metrics.cache_misses += 1

    def observe_pool(self, name: str, use: PoolUse) -> None:
        """Report a database pool; `use` answers its (open, idle) connections without waiting."""
        self._metrics.observe_pool(name, use)

    def observe_keys(self, numbers: KeyNumbers) -> None:
        """Report what a process counts of customer-managed keys."""
        self._metrics.observe_keys(numbers)

    async def watch_event_loop(self) -> None:
        """Sample the lag of the running event loop until cancelled."""
        await sample_event_loop(self._metrics.record_lag)

    def _providers(self) -> list[MeterProvider | TracerProvider]:
        metrics = self._metrics.provider
        return [metrics] if self._traces is None else [metrics, self._traces.provider]


class _RequestScope(AbstractContextManager["Span | None"]):
    __slots__ = ("_headers", "_metrics", "_name", "_span", "_token", "_traces")

    def __init__(
        self, metrics: Metrics, traces: Traces | None, headers: Headers, name: str
    ) -> None:
        self._metrics = metrics
        self._traces = traces
        self._headers = headers
        self._name = name
        self._span: SpanScope | None = None
        self._token: Token[str | None] | None = None

    def __enter__(self) -> Span | None:
        caller = caller_trace(self._headers)
        if self._traces is not None:
            self._span = self._traces.request(self._headers, caller, self._name)
        if self._span is not None:
            self._token = trace_id.set(self._span.trace_id)
        elif caller is not None:
            self._token = trace_id.set(caller.trace_id)
        self._metrics.in_flight += 1
        return self._span.__enter__() if self._span is not None else None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        self._metrics.in_flight -= 1
        if self._span is not None:
            self._span.__exit__(kind, error, stack)
        if self._token is not None:
            trace_id.reset(self._token)
