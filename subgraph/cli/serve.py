"""`ig serve`: runs the server, with an embedded PostgreSQL when no database is named."""

import argparse
import os
import socket

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from subgraph import settings
from subgraph.cli.arguments import workers
from subgraph.cli.listening import listen
from subgraph.cli.stack import Stack
from subgraph.settings import Settings
from subgraph.telemetry import configure_logging, log_config

_DRAIN_SECONDS = 10


def declare(parser: argparse.ArgumentParser) -> None:
    """Add the options, and the settings to the help."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _settings_table()
    parser.add_argument("--workers", type=workers, default=1, help="worker processes (default: 1)")
    parser.add_argument("--listen-fd", type=int, help=argparse.SUPPRESS)
    parser.set_defaults(run=_run, asynchronous=False)


def _run(parsed: argparse.Namespace) -> int:
    configured = settings.load(os.environ)
    configure_logging(configured.log_level)
    if configured.database_url is None:
        return Stack.run(configured, workers=parsed.workers)
    if parsed.listen_fd is not None:
        listener = socket.socket(fileno=parsed.listen_fd)
    else:
        listener = listen(configured.host, configured.port)
    return _serve(configured, listener, workers=parsed.workers)


def _serve(configured: Settings, listener: socket.socket, *, workers: int) -> int:
    config = uvicorn.Config(
        "subgraph.cli.worker_process:create" if workers > 1 else "subgraph.app:create",
        factory=True,
        workers=workers,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=log_config(configured.log_level),
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
        h11_max_incomplete_event_size=65_536,
    )
    server = uvicorn.Server(config)
    if workers > 1:
        return _supervise(Multiprocess(config, sockets=[listener]))
    server.run(sockets=[listener])
    return 0 if server.started else 1


def _supervise(supervisor: Multiprocess) -> int:
    supervisor.run()
    refused = any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes)
    return 1 if refused else 0


def _settings_table() -> str:
    rows = [
        f"  {name:28} {description}" + (f" (default: {default})" if default else "")
        for name, default, description in settings.describe()
    ]
    return "settings, read from the environment:\n" + "\n".join(rows)
