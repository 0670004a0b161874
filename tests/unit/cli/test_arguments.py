"""Numbers on the command line are in range, or a usage error that says the range."""

import argparse
from collections.abc import Callable
from datetime import timedelta

import pytest

from subgraph.cli import arguments
from subgraph.cli.main import main


@pytest.mark.parametrize("text", ["0", "65536", "99999", "-1", "80.5", "", "http", "٨٠", "1_0"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="65535"):
        arguments.port(text)


@pytest.mark.parametrize("text", ["0", "-2", "257", "two", ""])
def test_what_is_no_number_of_workers_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="256"):
        arguments.workers(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e300", "an hour", ""])
def test_what_is_no_number_of_hours_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="hours"):
        arguments.hours(text)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (arguments.port, "1", 1),
        (arguments.port, "65535", 65535),
        (arguments.workers, "1", 1),
        (arguments.hours, "0.5", timedelta(minutes=30)),
    ],
)
def test_what_is_in_range_is_read(read: Callable[[str], object], text: str, value: object) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    "command",
    [
        ["demo", "--port", "99999"],
        ["demo", "--workers", "0"],
        ["serve", "--workers", "0"],
        ["token", "--subject", "a", "--hours", "nan"],
    ],
    ids=" ".join,
)
def test_a_number_out_of_range_is_a_usage_error(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert (caught.value.code, "not a number" in capsys.readouterr().err) == (2, True)
