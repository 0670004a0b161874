"""The stable codes."""

import re
from http import HTTPStatus
from pathlib import Path

import pytest

from subgraph import errors
from subgraph.errors import ErrorCode, SubgraphError

DOCUMENTED = (Path(errors.__file__).parent.parent / "docs" / "errors.md").read_text()


@pytest.mark.parametrize("code", ErrorCode, ids=lambda code: code.name)
def test_code_is_documented_with_its_status(code: ErrorCode) -> None:
    assert f"| `{code.name}` | {code.status} | {code.meaning} | {code.remedy} |" in DOCUMENTED


def test_nothing_else_is_documented() -> None:
    assert re.findall(r"^\| `(\w+)`", DOCUMENTED, re.MULTILINE) == [code.name for code in ErrorCode]


@pytest.mark.parametrize("code", ErrorCode, ids=lambda code: code.name)
def test_code_has_a_name_a_status_and_sentences(code: ErrorCode) -> None:
    assert re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)*", code.name)
    assert HTTPStatus(code.status) >= HTTPStatus.BAD_REQUEST
    assert code.meaning.endswith((".", ";")) and code.remedy.endswith(".")


def test_codes_are_not_aliases_of_each_other() -> None:
    assert len(ErrorCode.__members__) == len(list(ErrorCode))


def test_error_without_a_message_says_what_its_code_means() -> None:
    assert SubgraphError(ErrorCode.FORBIDDEN).message == ErrorCode.FORBIDDEN.meaning


def test_error_names_its_code_in_logs() -> None:
    assert str(SubgraphError(ErrorCode.FORBIDDEN, "No.")) == "FORBIDDEN: No."


def test_details_go_out_beside_the_code() -> None:
    error = SubgraphError(ErrorCode.COST_LIMIT_EXCEEDED, limit=1, asked=2)
    assert error.extensions == {"code": "COST_LIMIT_EXCEEDED", "limit": 1, "asked": 2}
