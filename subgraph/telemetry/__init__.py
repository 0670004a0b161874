"""Metrics, traces and logs: what the service shows about itself, and what it never shows."""

from subgraph.telemetry.logs import configure_logging, log_config
from subgraph.telemetry.request import (
    accept_request_id,
    bind_request,
    new_request_id,
    request_id,
    trace_id,
)
from subgraph.telemetry.service import Telemetry

__all__ = [
    "Telemetry",
    "accept_request_id",
    "bind_request",
    "configure_logging",
    "log_config",
    "new_request_id",
    "request_id",
    "trace_id",
]
