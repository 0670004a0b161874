"""`ig sdl`: prints, writes and checks the schema."""

from pathlib import Path

import pytest

from subgraph.cli.main import main

COMMITTED = Path(__file__).parents[3] / "schema.graphql"


def test_what_is_committed_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sdl"]) == 0
    assert capsys.readouterr().out == COMMITTED.read_text(encoding="utf-8")


def test_what_was_written_passes_the_check(tmp_path: Path) -> None:
    path = tmp_path / "schema.graphql"
    assert main(["sdl", "--write", str(path)]) == 0
    assert main(["sdl", "--check", str(path)]) == 0


@pytest.mark.parametrize("content", [None, "type Query { a: Int }", ""])
def test_a_schema_that_differs_fails_the_check(
    content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "schema.graphql"
    if content is not None:
        path.write_text(content)
    assert main(["sdl", "--check", str(path)]) == 1
    assert f"ig sdl --write {path}" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--write", "--check"])
def test_a_file_that_cannot_be_used_is_told(
    option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sdl", option, str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith("ig: INVALID_INPUT: the file cannot be used: ")


def test_the_contract_says_until_when_literally(capsys: pytest.CaptureFixture[str]) -> None:
    main(["sdl", "--dialect", "contract"])
    assert "until: Date!" in capsys.readouterr().out


def test_another_dialect_is_a_usage_error() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["sdl", "--dialect", "french"])
    assert caught.value.code == 2
