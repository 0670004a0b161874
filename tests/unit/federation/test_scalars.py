"""What the scalars take and answer."""

from datetime import date
from typing import Annotated

import pytest
import strawberry
from graphql import graphql_sync

from subgraph.federation.access import PUBLIC
from subgraph.federation.declare import field, object_type
from subgraph.federation.scalars import Digest
from tests.unit.federation.schemas import Root, build

DIGEST = "sha256:" + "0a" * 32


@object_type(access=None)
class Query(Root):
    """What can be read."""

    @field(access=PUBLIC)
    def day(self, it: Annotated[date, strawberry.argument(description="A day.")]) -> date | None:
        """The day."""
        assert type(it) is date
        return it

    @field(access=PUBLIC)
    def digest(
        self, it: Annotated[Digest, strawberry.argument(description="A digest.")]
    ) -> Digest | None:
        """The digest."""
        return it


SCHEMA = build(Query).core


def by_variable(scalar: str, value: object) -> object:
    query = (
        f"query($it: {scalar}!) {{ answer: {'day' if scalar == 'Date' else 'digest'}(it: $it) }}"
    )
    answer = graphql_sync(SCHEMA, query, variable_values={"it": value})
    return answer.data["answer"] if answer.data else None


def by_literal(scalar: str, written: str) -> object:
    answer = graphql_sync(
        SCHEMA, f"{{ answer: {'day' if scalar == 'Date' else 'digest'}(it: {written}) }}"
    )
    return answer.data["answer"] if answer.data else None


@pytest.mark.parametrize(
    ("scalar", "value"),
    [("Date", "2026-11-23"), ("Date", "2024-02-29"), ("Date", "0001-01-01"), ("Digest", DIGEST)],
)
def test_value_comes_back_as_it_was_sent(scalar: str, value: str) -> None:
    assert (by_variable(scalar, value), by_literal(scalar, f'"{value}"')) == (value, value)


@pytest.mark.parametrize(
    "value",
    ["", "2026-11-31", "2023-02-29", "2026-1-1", "20261123", "2026-W01-1", "2026-11-23T00:00",
     " 2026-11-23", "2026-11-23\n", "10000-01-01", "0000-01-01", "\u0662026-11-23", 20261123, True],
)  # fmt: skip
def test_date_is_a_calendar_day(value: object) -> None:
    assert by_variable("Date", value) is None


@pytest.mark.parametrize(
    "value",
    ["", "0a" * 32, DIGEST.upper(), DIGEST + "0", DIGEST[:-1], DIGEST + "\n", "sha512:" + "0a" * 32,
     5, None],
)  # fmt: skip
def test_digest_is_sha256_in_lower_case(value: object) -> None:
    assert by_variable("Digest", value) is None


@pytest.mark.parametrize("written", ["5", "x", "{}", "[]", "true"])
@pytest.mark.parametrize("scalar", ["Date", "Digest"])
def test_literal_of_another_kind_is_refused(scalar: str, written: str) -> None:
    assert by_literal(scalar, written) is None
