"""`docs/telemetry.md` says what the code does."""

import logging
import re
from pathlib import Path

import orjson
import pytest

from subgraph import settings
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.telemetry import KeyTelemetry
from subgraph.kms.faults import KeyFault
from subgraph.telemetry import Telemetry, bind_request, request_id, trace_id
from subgraph.telemetry.instruments import DURATION_BUCKETS, INSTRUMENTS
from subgraph.telemetry.labels import MAX_CLIENTS, MAX_OPERATIONS, MAX_PAIRS
from subgraph.telemetry.logs import JsonFormatter
from subgraph.telemetry.redaction import MAX_TEXT

PAGE = (Path(__file__).parents[3] / "docs" / "telemetry.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under `heading`, its head aside."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def test_the_metrics_are_those_of_the_code() -> None:
    documented = [
        (code(name), kind, code(unit), code(labels), meaning)
        for name, _, kind, unit, labels, meaning in rows("Metrics")
    ]
    assert documented == [
        ([i.name], i.kind, [i.unit], list(i.labels), i.meaning) for i in INSTRUMENTS
    ]


def test_the_metrics_are_those_of_the_page() -> None:
    telemetry = Telemetry.start(settings.load({}), {})
    telemetry.observe_pool("service", lambda: (1, 1))
    telemetry.operation_finished("Budget", None, 0.001, (), 1)
    telemetry._metrics.record_lag(0.0)
    keys = KeyTelemetry()
    telemetry.observe_keys(keys)
    keys.unwrap_failed(None, refresh=True)
    keys.called("unwrap", None)
    keys.changed("acme", None, KeyFault.KEY_DISABLED, 0.0)
    keys.decrypted(0.001, cold=True)
    keys.job_rows["done"] += 1
    telemetry._metrics._record_pause(0, 0.001)
    body, _ = telemetry.metrics_page()
    telemetry.shutdown()
    served = set(re.findall(r"^# TYPE (\S+)", body.decode(), re.MULTILINE)) - {"target_info"}
    assert served == {code(row[1])[0] for row in rows("Metrics")}


def test_the_bounds_are_those_of_the_code() -> None:
    bounds = f"first {MAX_OPERATIONS} operation names, {MAX_CLIENTS} client names and {MAX_PAIRS}"
    assert [
        words for words in (bounds, f"cut at {MAX_TEXT} characters") if words not in WORDS
    ] == []


def test_the_buckets_are_those_of_the_code() -> None:
    short = ", ".join(f"{bound * 1000:g}" for bound in DURATION_BUCKETS if bound < 1)
    long = ", ".join(f"{bound:g}" for bound in DURATION_BUCKETS if bound >= 1)
    assert f"{short} ms, {long} s." in WORDS


def test_the_fields_of_a_line_are_those_of_the_code() -> None:
    error = SubgraphError(ErrorCode.INTERNAL_ERROR)
    tokens = bind_request("r-1"), trace_id.set("0" * 31 + "1")
    record = logging.LogRecord("x", logging.ERROR, "", 1, "x", (), (type(error), error, None))
    line = orjson.loads(JsonFormatter().format(record))
    request_id.reset(tokens[0])
    trace_id.reset(tokens[1])
    assert set(line) == {code(row[0])[0] for row in rows("Logs")}


@pytest.mark.parametrize("part", ["type", "stack", "cause", "members", "code", "sqlstate"])
def test_the_parts_of_an_exception_are_named(part: str) -> None:
    assert part in code(rows("Logs")[-1][1])


def test_the_attributes_of_spans_are_those_of_the_code() -> None:
    source = "".join(
        (Path(settings.__file__).parent / "telemetry" / name).read_text(encoding="utf-8")
        for name in ("service.py", "traces.py")
    )
    used = set(re.findall(r'"((?:graphql|db|error)\.[a-z_.]+)"', source))
    assert used == {name for row in rows("Traces") for name in code(row[2])}
