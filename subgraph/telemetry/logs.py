"""Logs as JSON lines on stderr.

The message of an unexpected exception is never written: a database error quotes the row it
refused, a validation error the value. Its type, its place and its SQLSTATE are.
"""

import logging
import logging.config
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import orjson

from subgraph.errors import JSONValue, SubgraphError
from subgraph.telemetry.redaction import redact, redact_text, type_name
from subgraph.telemetry.request import request_id, trace_id

_OWN_LOGGERS = ("subgraph", "resolvers", "dataloaders")
_QUIET_LOGGERS = ("httpx", "httpcore", "sqlalchemy", "botocore", "urllib3", "opentelemetry")
_MAX_FRAMES = 50
_MAX_CAUSES = 5
_SHORTEST_QUOTE = 3
_RECORD_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    # uvicorn's copy of the message for terminals
    "color_message",
}
# asyncio writes the repr of tasks, arguments and exceptions behind its own words.
_ASYNCIO_WORDS = re.compile(r"[^\n(<{]*")
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object; never raises."""

    def format(self, record: logging.LogRecord) -> str:
        """One line without its end."""
        try:
            return orjson.dumps(_line(record)).decode()
        except Exception as error:  # noqa: BLE001 - a log line never fails its author
            return orjson.dumps(
                {
                    **_head(record),
                    "message": "a log record could not be formatted",
                    "exception": {"type": type_name(error)},
                }
            ).decode()


class StderrHandler(logging.StreamHandler[Any]):
    """Writes to stderr, and drops what cannot be written.

    The handler of the standard library would print the record's arguments, unredacted.
    """

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base names it
        """Drop the record."""


def log_config(level: str = "INFO") -> dict[str, Any]:
    """The logging configuration as `logging.config.dictConfig` and uvicorn's `log_config` take it.

    `level` holds for the code of this project; other libraries log from INFO up at most, chatty
    ones from WARNING. uvicorn's access log is off.
    """
    others = "INFO" if level == "DEBUG" else level
    quiet = "ERROR" if level == "ERROR" else "WARNING"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "subgraph.telemetry.logs.JsonFormatter"}},
        "handlers": {
            "stderr": {"class": "subgraph.telemetry.logs.StderrHandler", "formatter": "json"}
        },
        "root": {"level": others, "handlers": ["stderr"]},
        "loggers": {
            **{name: {"level": level} for name in _OWN_LOGGERS},
            **{name: {"level": quiet} for name in _QUIET_LOGGERS},
            **{
                name: {"level": others, "handlers": [], "propagate": True}
                for name in ("uvicorn", "uvicorn.error", "uvicorn.asgi")
            },
            "uvicorn.access": {"level": "CRITICAL", "handlers": [], "propagate": False},
        },
    }


def configure_logging(level: str = "INFO") -> None:
    """Send every log record, warning and uncaught exception of this process to stderr as JSON."""
    logging.config.dictConfig(log_config(level))
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    sys.unraisablehook = _log_unraisable
    threading.excepthook = _log_thread_death


def _line(record: logging.LogRecord) -> dict[str, JSONValue]:
    error = record.exc_info[1] if record.exc_info else None
    line = _head(record)
    line["message"] = redact_text(_message(record, error)).strip()
    line["requestId"] = request_id.get()
    line["traceId"] = trace_id.get()
    extra = {name: value for name, value in vars(record).items() if name not in _RECORD_FIELDS}
    cleaned = redact(extra)
    if isinstance(cleaned, dict):
        line = {**cleaned, **{name: value for name, value in line.items() if value is not None}}
    if error is not None:
        line["exception"] = _describe(error, _MAX_CAUSES)
    return line


def _head(record: logging.LogRecord) -> dict[str, JSONValue]:
    moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
    return {
        "ts": moment.replace("+00:00", "Z"),
        "level": record.levelname,
        "logger": redact_text(record.name),
    }


def _message(record: logging.LogRecord, error: BaseException | None) -> str:
    text = record.msg if isinstance(record.msg, str) else str(redact(record.msg))
    if record.args:
        arguments = (
            redact(record.args)
            if isinstance(record.args, Mapping)
            else tuple(_argument(value) for value in record.args)
        )
        try:
            text %= arguments
        except (TypeError, ValueError, KeyError):
            text = f"{text} (arguments do not fit)"
    if record.name.startswith("asyncio"):
        match = _ASYNCIO_WORDS.match(text)
        return match[0].rstrip() if match else ""
    return _without_quotes(text, error, _MAX_CAUSES)


def _argument(value: object) -> object:
    return value if isinstance(value, str | int | float) else redact(value)


def _without_quotes(text: str, error: BaseException | None, depth: int) -> str:
    """`text` without what `error` and its causes say."""
    if error is None or not depth:
        return text
    if not isinstance(error, SubgraphError):
        quotes = [repr(error), str(error), *(str(part) for part in error.args)]
        for quote in sorted(quotes, key=len, reverse=True):
            if len(quote) >= _SHORTEST_QUOTE:
                text = text.replace(quote, type_name(error))
    return _without_quotes(text, _cause(error), depth - 1)


def _describe(error: BaseException, depth: int) -> JSONValue:
    described: dict[str, JSONValue] = {"type": type_name(error), "stack": _stack(error)}
    if isinstance(error, SubgraphError):
        described["code"] = error.code.name
        described["message"] = redact_text(error.message)
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(sqlstate, str) and _SQLSTATE.fullmatch(sqlstate):
        described["sqlstate"] = sqlstate
    if isinstance(error, BaseExceptionGroup) and depth:
        described["members"] = [_describe(member, depth // 2) for member in error.exceptions[:5]]
    cause = _cause(error)
    if cause is not None and depth:
        described["cause"] = _describe(cause, depth - 1)
    return described


def _cause(error: BaseException) -> BaseException | None:
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


def _stack(error: BaseException) -> list[JSONValue]:
    frames = [
        f"{frame.f_code.co_filename}:{line} {frame.f_code.co_qualname}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    if len(frames) > _MAX_FRAMES:
        kept = _MAX_FRAMES // 2
        frames = [*frames[:kept], f"[{len(frames) - 2 * kept} frames]", *frames[-kept:]]
    return list(frames)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger(__name__).critical("uncaught exception", exc_info=(kind, error, trace))


def _log_thread_death(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        logging.getLogger(__name__).critical(
            "a thread died of an exception", exc_info=arguments.exc_value
        )


def _log_unraisable(arguments: "sys.UnraisableHookArgs") -> None:
    if arguments.exc_value is not None:
        logging.getLogger(__name__).error(
            "an exception could not be raised", exc_info=arguments.exc_value
        )
