"""Where telemetry goes besides `/metrics`: an OTLP/HTTP collector, if the environment names one.

Endpoints come from the standard variables; headers, certificates, compression, timeouts and
intervals are read by the exporters themselves.
"""

import os
import uuid
from collections.abc import Mapping
from importlib import metadata

from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SpanExporter

_DISTRIBUTION = "governance-subgraph"
_BASE_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def resource(environ: Mapping[str, str]) -> Resource:
    """This process as OpenTelemetry describes it; `OTEL_RESOURCE_ATTRIBUTES` adds to it."""
    own: dict[str, str | int] = {
        "service.version": _version(),
        "service.instance.id": str(uuid.uuid4()),
        "process.pid": os.getpid(),
    }
    if environ.get("OTEL_SERVICE_NAME"):
        own["service.name"] = environ["OTEL_SERVICE_NAME"]
    elif "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
        own["service.name"] = _DISTRIBUTION
    return Resource.create(own)


def span_exporter(environ: Mapping[str, str]) -> SpanExporter | None:
    """The exporter of spans; None when no collector is named."""
    endpoint = _endpoint(environ, "traces")
    if endpoint is None:
        return None
    # Imported when used: it brings an HTTP client that nothing else here needs.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter(endpoint=endpoint)


def metric_readers(environ: Mapping[str, str]) -> list[MetricReader]:
    """A reader that sends the metrics to a collector; none when no collector is named."""
    endpoint = _endpoint(environ, "metrics")
    if endpoint is None:
        return []
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return [PeriodicExportingMetricReader(OTLPMetricExporter(endpoint=endpoint))]


def _endpoint(environ: Mapping[str, str], signal: str) -> str | None:
    own = environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT")
    if own:
        return own
    base = environ.get(_BASE_ENDPOINT)
    return f"{base.rstrip('/')}/v1/{signal}" if base else None


def _version() -> str:
    try:
        return metadata.version(_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown"
