import contextlib
import logging
import logging.config
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.telemetry import bind_request, log_config, request_id
from subgraph.telemetry.logs import JsonFormatter

ROOT = Path(__file__).parents[3]
CANARIES = {
    "personal": "Key (email)=(jane) already exists",
    "jwt": "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2VjcmV0",
    "bearer": "Bearer s3cret",
    "dsn": "postgresql://ig:s3cret@db/ig",
    "pem": "-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----",
}
SECRETS = ("jane", "s3cret", "eyJ", "c2VjcmV0")


class Lines(logging.Handler):
    """Keeps what the formatter made of each record."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))

    @property
    def last(self) -> dict[str, Any]:
        line = orjson.loads(self.texts[-1])
        assert isinstance(line, dict)
        return line


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    LOGGER.addHandler(handler)
    yield handler
    LOGGER.removeHandler(handler)


# Outside the hierarchy: the handlers of the test runner do not see it.
LOGGER = logging.Logger("subgraph.test")  # noqa: LOG001


def leaks(texts: Iterable[str]) -> list[str]:
    """The secrets in `texts`, which may not be empty."""
    together = "".join(texts)
    assert together
    return [secret for secret in SECRETS if secret in together]


def raised(error: BaseException) -> BaseException:
    """`error` with a traceback."""
    with contextlib.suppress(BaseException):
        raise error
    return error


def test_a_line_says_when_what_and_who(lines: Lines) -> None:
    LOGGER.warning("pool %s has %d connections", "service", 3, extra={"pool": "service"})
    assert {**lines.last, "ts": None} == {
        "ts": None,
        "level": "WARNING",
        "logger": "subgraph.test",
        "message": "pool service has 3 connections",
        "pool": "service",
    }


def test_the_time_is_utc(lines: Lines) -> None:
    LOGGER.info("x")
    assert datetime.fromisoformat(lines.last["ts"]).utcoffset() == timedelta(0)


def test_a_line_carries_the_request_it_belongs_to(lines: Lines) -> None:
    token = bind_request("r-1")
    LOGGER.info("x")
    request_id.reset(token)
    assert lines.last["requestId"] == "r-1"


def test_an_extra_field_cannot_pose_as_one_of_ours(lines: Lines) -> None:
    LOGGER.info("x", extra={"level": "CRITICAL", "logger": "other", "ts": "never"})
    assert (lines.last["level"], lines.last["logger"]) == ("INFO", "subgraph.test")


def test_a_line_break_in_a_message_does_not_start_a_line(lines: Lines) -> None:
    LOGGER.info('x\n{"level":"CRITICAL"}')
    assert "\n" not in lines.texts[-1]


def test_an_unexpected_exception_is_type_and_place(lines: Lines) -> None:
    LOGGER.error("failed", exc_info=raised(ValueError("jane")))
    exception = lines.last["exception"]
    assert (exception["type"], exception["stack"][0].split(":")[0]) == ("ValueError", __file__)


def test_a_database_error_keeps_its_sqlstate(lines: Lines) -> None:
    error = asyncpg.UniqueViolationError(CANARIES["personal"])
    LOGGER.error("failed", exc_info=raised(error))
    assert lines.last["exception"]["sqlstate"] == "23505"


def test_an_expected_failure_keeps_code_and_message(lines: Lines) -> None:
    error = raised(SubgraphError(ErrorCode.PORT_IN_USE, "port 8080 is taken"))
    LOGGER.error("failed", exc_info=error)
    exception = lines.last["exception"]
    assert (exception["code"], exception["message"]) == ("PORT_IN_USE", "port 8080 is taken")


def test_the_cause_of_an_expected_failure_is_not_quoted(lines: Lines) -> None:
    error = SubgraphError(ErrorCode.DATABASE_UNAVAILABLE)
    error.__cause__ = raised(OSError("jane"))
    LOGGER.error("failed", exc_info=raised(error))
    assert (lines.last["exception"]["cause"]["type"], "jane" in lines.texts[-1]) == (
        "OSError",
        False,
    )


def test_a_very_deep_stack_is_cut(lines: Lines) -> None:
    def descend() -> None:
        descend()

    try:
        descend()
    except RecursionError:
        LOGGER.exception("failed")
    assert len(lines.last["exception"]["stack"]) == 51


class Row:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("jane")


PATHS: dict[str, Callable[[str], None]] = {
    "an exception": lambda text: LOGGER.error("failed", exc_info=raised(ValueError(text))),
    "an exception quoted in the message": lambda text: LOGGER.error(
        "failed: " + repr(ValueError(text)) + text,  # noqa: G003
        exc_info=raised(ValueError(text)),
    ),
    "an exception as argument": lambda text: LOGGER.error("failed: %s", ValueError(text)),
    "an exception as message": lambda text: LOGGER.error(ValueError(text)),
    "a context": lambda text: LOGGER.error("failed", exc_info=raised(_in_context(text))),
    "an exception group": lambda text: LOGGER.error(
        "failed", exc_info=raised(ExceptionGroup(text, [KeyError(text)]))
    ),
    "an exception note": lambda text: LOGGER.error("failed", exc_info=raised(_noted(text))),
    "an object as argument": lambda text: LOGGER.info("row %s %r", Row(text), [Row(text)]),
    "an object as message": lambda text: LOGGER.info(Row(text)),
    "an object as field": lambda text: LOGGER.info("x", extra={"row": Row(text)}),
    "bytes": lambda text: LOGGER.info("%s", text.encode(), extra={"body": text.encode()}),
    "a sensitive argument": lambda text: LOGGER.info("%s", {"variables": {"email": text}}),
    "named arguments": lambda text: LOGGER.info("%(password)s", {"password": text}),
    "a sensitive field": lambda text: LOGGER.info("x", extra={"authorization": text}),
    "a sensitive field below": lambda text: LOGGER.info("x", extra={"h": [{"Cookie": text}]}),
    "arguments that do not fit": lambda text: LOGGER.info("%d", Row(text)),
    "an exception without words": lambda text: LOGGER.error(
        "failed", exc_info=raised(Unprintable(text))
    ),
    "a stack": lambda text: LOGGER.info("x", stack_info=True),
}


def _in_context(text: str) -> SubgraphError:
    error = SubgraphError(ErrorCode.INTERNAL_ERROR)
    error.__context__ = raised(KeyError(text))
    return error


def _noted(text: str) -> Exception:
    error = ValueError()
    error.add_note(text)
    return error


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("canary", CANARIES)
def test_no_canary_leaves_by(lines: Lines, path: str, canary: str) -> None:
    PATHS[path](CANARIES[canary])
    assert leaks(lines.texts) == []


@pytest.mark.parametrize("canary", ["jwt", "bearer", "dsn", "pem"])
def test_no_secret_leaves_by_plain_text(lines: Lines, canary: str) -> None:
    text = CANARIES[canary]
    LOGGER.info("got " + text)  # noqa: G003
    LOGGER.info("got %s", text)
    LOGGER.info("got", extra={"detail": {"list": [text]}, text: 1})
    LOGGER.error("x", exc_info=raised(SubgraphError(ErrorCode.INTERNAL_ERROR, text)))
    assert leaks(lines.texts) == []


@pytest.mark.parametrize("odd", ["\ud800", "\x00", float("nan"), 2**80, {1: {2: 3}}, {"a"}])
def test_odd_values_do_not_lose_the_line(lines: Lines, odd: object) -> None:
    LOGGER.info("kept", extra={"odd": odd})
    assert lines.last["message"] == "kept"


def test_uvicorns_own_loggers_go_through_the_formatter() -> None:
    loggers = log_config()["loggers"]
    error, access = loggers["uvicorn.error"], loggers["uvicorn.access"]
    assert (error["propagate"], error["handlers"], access["propagate"]) == (True, [], False)


@pytest.mark.parametrize(
    ("level", "others"), [("DEBUG", "INFO"), ("WARNING", "WARNING"), ("ERROR", "ERROR")]
)
def test_other_libraries_never_log_in_detail(level: str, others: str) -> None:
    config = log_config(level)
    assert (config["loggers"]["subgraph"]["level"], config["root"]["level"]) == (level, others)


def run(script: str) -> subprocess.CompletedProcess[str]:
    """A process that ran `script`."""
    return subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def stderr_of(script: str) -> list[dict[str, Any]]:
    """The log lines of a process that runs `script`; every line of its stderr must be one."""
    return [orjson.loads(line) for line in run(script).stderr.splitlines()]


SETUP = """
import asyncio, gc, logging, sys, threading, warnings
from subgraph.telemetry import configure_logging
configure_logging()
def fail(*_):
    raise ValueError("Key (email)=(jane)")
"""
DEATHS = {
    "the main thread": "fail()",
    "a thread": "t = threading.Thread(target=fail); t.start(); t.join()",
    "a finalizer": "class X:\n    __del__ = fail\nX()",
    "a task": (
        "async def work(): fail()\n"
        "async def main():\n    asyncio.create_task(work()); await asyncio.sleep(0); gc.collect()\n"
        "asyncio.run(main())"
    ),
    "a callback": (
        "async def main():\n"
        "    asyncio.get_running_loop().call_soon(fail, 'jane'); await asyncio.sleep(0)\n"
        "asyncio.run(main())"
    ),
}


@pytest.mark.parametrize("death", DEATHS)
def test_an_exception_that_nobody_catches_is_a_line_without_its_message(death: str) -> None:
    lines = stderr_of(SETUP + DEATHS[death])
    assert ("ValueError" in str(lines), "jane" in str(lines)) == (True, False)


def test_a_warning_is_a_line() -> None:
    script = SETUP + "warnings.simplefilter('always'); warnings.warn('old')"
    assert [line["logger"] for line in stderr_of(script)] == ["py.warnings"]


def test_a_closed_stderr_does_not_break_the_caller() -> None:
    script = SETUP + "import os; os.close(2); logging.getLogger('subgraph').error('x'); print('on')"
    assert run(script).stdout == "on\n"


SERVER = """
import asyncio, uvicorn
from subgraph.telemetry import log_config
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive(); await send({"type": "lifespan.startup.complete"})
        await receive(); await send({"type": "lifespan.shutdown.complete"}); return
    raise ValueError("Key (email)=(jane) " + str(scope["headers"]))
async def main():
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=log_config()))
    serving = asyncio.create_task(server.serve())
    while not server.started: await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /s3cret HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n"
                 b"Authorization: Bearer s3cret\\r\\nCookie: a=s3cret\\r\\n\\r\\n")
    await reader.read(); writer.close()
    server.should_exit = True
    await serving
asyncio.run(main())
"""


def test_a_failing_request_of_a_real_server_shows_no_canary() -> None:
    lines = stderr_of(SERVER)
    failures = [line for line in lines if line["level"] == "ERROR"]
    types = [line["exception"]["type"] for line in failures]
    assert (types, leaks(map(str, lines))) == (["ValueError"], [])
