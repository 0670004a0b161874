"""`ig` as a whole: what it lists, and how it says no."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from subgraph import settings
from subgraph.cli.main import GROUPS, main

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("IG_") or name in ("DATABASE_URL", "OPA_URL"):
            monkeypatch.delenv(name)


def usage_error(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return caught.value.code


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error("--help") == 0
    shown = capsys.readouterr().out
    assert [name for name in GROUPS if name not in shown] == []


@pytest.mark.parametrize("group", GROUPS)
def test_every_command_has_help(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage_error(group, "--help") == 0
    assert f"usage: ig {group}" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("db",), ("db", "nonsense"), ("--x",)])
def test_a_command_that_there_is_not_is_a_usage_error(arguments: tuple[str, ...]) -> None:
    assert usage_error(*arguments) == 2


def test_serving_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    usage_error("serve", "--help")
    lines = capsys.readouterr().out.splitlines()
    described = [(line.split()[0], line) for line in lines if line.startswith("  ")]
    missing = [
        name
        for name, default, description in settings.describe()
        if not any(
            name == first and description in line and default in line for first, line in described
        )
    ]
    assert missing == []


COMMANDS = [
    ("serve",),
    ("demo",),
    ("token", "--subject", "a"),
    ("db", "upgrade"),
    ("datasets", "sources", "--tenant", "t-a"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_setting_that_there_is_not_is_refused_by_name(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IG_MAX_DEPHT", "3")
    assert main(command) == 1
    assert capsys.readouterr().err == "ig: SETTINGS_INVALID: unknown settings: IG_MAX_DEPHT\n"


def test_a_wrong_value_of_a_secret_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IG_CURSOR_KEY", "hunter2")
    assert main(["serve"]) == 1
    shown = capsys.readouterr().err
    assert ("IG_CURSOR_KEY" in shown, "hunter2" in shown) == (True, False)


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "subgraph.cli.main", "regions"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.wait()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
