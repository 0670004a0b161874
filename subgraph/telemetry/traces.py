"""Spans: one for an HTTP request, one for an operation, one for a batch of SQL statements.

A request that is not sampled makes no span at all. Spans never carry document text, variables,
subjects or tokens, and an exception only by its code or type.
"""

import random
import secrets
from contextlib import AbstractContextManager, nullcontext
from contextvars import Token
from types import TracebackType

from opentelemetry import context as context_api
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from subgraph.errors import SubgraphError
from subgraph.telemetry.redaction import type_name
from subgraph.telemetry.request import CallerTrace, Headers

NOT_SAMPLED: AbstractContextManager[None] = nullcontext()


class Traces:
    """The spans of one process, on their way to `exporter`."""

    def __init__(self, resource: Resource, ratio: float, exporter: SpanExporter) -> None:
        sampler = TraceIdRatioBased(ratio)
        self._bound = sampler.bound
        self.provider = TracerProvider(
            sampler=ParentBased(sampler),
            resource=resource,
            shutdown_on_exit=False,
            id_generator=_SampledIds(self._bound),
        )
        self.provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self.provider.get_tracer("subgraph")
        self._propagator = TraceContextTextMapPropagator()

    def request(
        self, headers: Headers, caller: CallerTrace | None, name: str
    ) -> "SpanScope | None":
        """The span of an HTTP request: the caller decides whether it is kept, else the ratio."""
        if caller is None:
            if random.getrandbits(64) >= self._bound:
                return None
            parent = Context()
        elif caller.sampled:
            parent = self._propagator.extract(_carrier(headers), Context())
        else:
            return None
        return SpanScope(self._tracer.start_span(name, parent, SpanKind.SERVER))

    def child(
        self, name: str, kind: SpanKind, attributes: dict[str, AttributeValue]
    ) -> "AbstractContextManager[Span | None]":
        """A span under the running one; nothing when that is not sampled."""
        if not trace.get_current_span().is_recording():
            return NOT_SAMPLED
        return SpanScope(self._tracer.start_span(name, kind=kind, attributes=attributes))


class SpanScope(AbstractContextManager[Span]):
    """Makes a started span the running one, and ends it."""

    __slots__ = ("_token", "span")

    def __init__(self, span: Span) -> None:
        self.span = span
        self._token: Token[Context] | None = None

    @property
    def trace_id(self) -> str:
        """The trace id: 32 hex digits."""
        return format(self.span.get_span_context().trace_id, "032x")

    def __enter__(self) -> Span:
        self._token = context_api.attach(trace.set_span_in_context(self.span))
        return self.span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        if self._token is not None:
            context_api.detach(self._token)
        if error is not None:
            reason = error.code.name if isinstance(error, SubgraphError) else type_name(error)
            self.span.set_attribute("error.type", reason)
            self.span.set_status(Status(StatusCode.ERROR))
        self.span.end()


class _SampledIds(RandomIdGenerator):
    """Draws root trace ids from those that the ratio keeps.

    `Traces.request` has drawn already whether a root is kept, without the cost of a span; an id
    that the sampler then refused would apply the ratio twice.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound

    def generate_trace_id(self) -> int:
        return (secrets.randbits(64) << 64) | secrets.randbelow(max(self._bound, 1))


def _carrier(headers: Headers) -> dict[str, str]:
    return {
        name.decode("latin-1"): value.decode("latin-1")
        for name, value in headers
        if name in (b"traceparent", b"tracestate")
    }
