"""Walking lists by cursor, over HTTP."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import base64
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.settings import Settings
from tests.conftest import Api, running
from tests.integration.datasets import (
    provision_source,
    register_dataset,
    register_tenant,
    tenant_with_datasets,
)

COUNT = 45
LIST = (
    "query($tenant: ID!, $first: Int! = 20, $after: String) { tenant(id: $tenant)"
    " { datasets(first: $first, after: $after) { edges { cursor node { slug } } nodes { slug }"
    " pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } } }"
)
RECORDS = (
    "query($phase: DeprecationPhase, $first: Int! = 50, $after: String)"
    " { deprecations(phase: $phase, first: $first, after: $after)"
    " { edges { cursor node { id } } pageInfo { hasNextPage endCursor } } }"
)


@dataclass(frozen=True)
class Reader:
    """Reads pages of one tenant's data sets."""

    api: Api
    tenant: str

    async def answer(self, **variables: object) -> dict[str, Any]:
        return await self.api.ask(
            LIST,
            token=self.api.mint(self.tenant, "datasets:read"),
            variables={"tenant": self.tenant, **variables},
        )

    async def page(self, **variables: object) -> dict[str, Any]:
        answer = await self.answer(**variables)
        assert "errors" not in answer
        page: dict[str, Any] = answer["data"]["tenant"]["datasets"]
        return page

    async def refusal(self, **variables: object) -> tuple[object, list[str]]:
        answer = await self.answer(**variables)
        return answer["data"]["tenant"]["datasets"], codes(answer)

    async def walk(self, first: int) -> list[list[str]]:
        pages, after = [], None
        while True:
            page = await self.page(first=first, after=after)
            pages.append(slugs(page))
            if not page["pageInfo"]["hasNextPage"]:
                return pages
            after = page["pageInfo"]["endCursor"]


def slugs(page: dict[str, Any]) -> list[str]:
    return [edge["node"]["slug"] for edge in page["edges"]]


def codes(answer: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


EXPECTED = [f"visits-{number:03}" for number in range(COUNT)]


@pytest.fixture(scope="module")
async def reader(api: Api, postgres: EmbeddedServer) -> Reader:
    tenant, _ = await tenant_with_datasets(api, postgres, COUNT)
    return Reader(api, tenant)


@pytest.mark.parametrize("first", [*range(1, COUNT + 3), 100])
async def test_walk_meets_each_item_once_and_in_order(reader: Reader, first: int) -> None:
    pages = await reader.walk(first)
    whole = [EXPECTED[start : start + first] for start in range(0, COUNT, first)]
    assert pages == whole


async def test_nodes_are_the_items_of_the_edges(reader: Reader) -> None:
    page = await reader.page(first=7)
    assert page["nodes"] == [edge["node"] for edge in page["edges"]]


async def test_page_begins_and_ends_with_the_cursors_that_it_names(reader: Reader) -> None:
    page = await reader.page(first=7)
    named = (page["pageInfo"]["startCursor"], page["pageInfo"]["endCursor"])
    assert named == (page["edges"][0]["cursor"], page["edges"][-1]["cursor"])


async def test_any_cursor_of_a_page_leads_on_from_its_item(reader: Reader) -> None:
    page = await reader.page(first=10)
    following = await reader.page(first=3, after=page["edges"][4]["cursor"])
    assert slugs(following) == EXPECTED[5:8]


@pytest.mark.parametrize(
    ("start", "first", "expected"),
    [
        (0, 10, (True, False)),
        (10, 10, (True, True)),
        (35, 10, (False, True)),
        (0, COUNT, (False, False)),
        (0, COUNT - 1, (True, False)),
    ],
)
async def test_page_says_what_surrounds_it(
    reader: Reader, start: int, first: int, expected: tuple[bool, bool]
) -> None:
    after = None
    if start:
        after = (await reader.page(first=start))["pageInfo"]["endCursor"]
    info = (await reader.page(first=first, after=after))["pageInfo"]
    assert (info["hasNextPage"], info["hasPreviousPage"]) == expected


async def test_page_behind_the_last_item_is_empty(reader: Reader) -> None:
    last = (await reader.page(first=COUNT))["pageInfo"]["endCursor"]
    page = await reader.page(after=last)
    assert (page["edges"], page["pageInfo"]) == (
        [],
        {
            "hasNextPage": False,
            "hasPreviousPage": True,
            "startCursor": None,
            "endCursor": None,
        },
    )


async def test_empty_list_is_one_empty_page(api: Api) -> None:
    page = await Reader(api, await register_tenant(api)).page()
    assert (page["edges"], page["pageInfo"]["hasNextPage"]) == ([], False)


async def test_default_page_has_twenty_items(reader: Reader) -> None:
    assert slugs(await reader.page()) == EXPECTED[:20]


@pytest.mark.parametrize("first", [0, -1, 101, 2**31 - 1, -(2**31)])
async def test_page_size_outside_its_bounds_is_refused(reader: Reader, first: int) -> None:
    # Above the node limit the operation is refused as a whole.
    answer = await reader.answer(first=first)
    assert codes(answer) == ["NODE_LIMIT_EXCEEDED" if first > 10_000 else "BAD_USER_INPUT"]


@pytest.mark.parametrize("first", [0, -1, 101])
async def test_page_size_of_public_lists_is_bounded_too(api: Api, first: int) -> None:
    answer = await api.ask(RECORDS, variables={"first": first})
    assert (answer["data"], codes(answer)) == ({"deprecations": None}, ["BAD_USER_INPUT"])


# --- cursors of another make


def flipped(cursor: str, at: int) -> str:
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    raw[at] ^= 1
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


FOREIGN = {
    "empty": lambda cursor: "",
    "a slug": lambda cursor: "visits-003",
    "random": lambda cursor: secrets.token_urlsafe(40),
    "truncated": lambda cursor: cursor[:-1],
    "cut in half": lambda cursor: cursor[: len(cursor) // 2],
    "lengthened": lambda cursor: cursor + "A",
    "twice": lambda cursor: cursor * 2,
    "with another tag": lambda cursor: flipped(cursor, 0),
    "with another value": lambda cursor: flipped(cursor, -3),
    "padded": lambda cursor: cursor + "====",
    "with a space": lambda cursor: " " + cursor,
    "beyond ASCII": lambda cursor: "\u00e9" + cursor,
    "huge": lambda cursor: "A" * 100_000,
}


@pytest.mark.parametrize("forge", FOREIGN.values(), ids=FOREIGN)
async def test_cursor_that_was_not_made_here_is_refused(reader: Reader, forge: Any) -> None:
    cursor = (await reader.page(first=3))["pageInfo"]["endCursor"]
    assert await reader.refusal(after=forge(cursor)) == (None, ["INVALID_CURSOR"])


async def test_cursor_of_another_tenant_is_refused(
    api: Api, postgres: EmbeddedServer, reader: Reader
) -> None:
    tenant, _ = await tenant_with_datasets(api, postgres, 2)
    foreign = (await Reader(api, tenant).page(first=1))["pageInfo"]["endCursor"]
    assert await reader.refusal(after=foreign) == (None, ["INVALID_CURSOR"])


async def test_cursor_of_another_list_is_refused(api: Api, reader: Reader) -> None:
    answer = await api.ask(RECORDS)
    foreign = answer["data"]["deprecations"]["pageInfo"]["endCursor"]
    assert await reader.refusal(after=foreign) == (None, ["INVALID_CURSOR"])


async def test_cursor_of_another_filter_is_refused(api: Api) -> None:
    whole = await api.ask(RECORDS)
    cursor = whole["data"]["deprecations"]["pageInfo"]["endCursor"]
    answer = await api.ask(RECORDS, variables={"phase": "ANNOUNCED", "after": cursor})
    assert (answer["data"], codes(answer)) == ({"deprecations": None}, ["INVALID_CURSOR"])


async def test_cursor_of_another_key_is_refused(reader: Reader, settings: Settings) -> None:
    cursor = (await reader.page(first=3))["pageInfo"]["endCursor"]
    async with running(msgspec.structs.replace(settings, cursor_key="d" * 32)) as served:
        refused = await Reader(served, reader.tenant).refusal(after=cursor)
    assert refused == (None, ["INVALID_CURSOR"])


async def test_replica_with_the_same_key_goes_on_where_another_stopped(
    reader: Reader, settings: Settings
) -> None:
    cursor = (await reader.page(first=3))["pageInfo"]["endCursor"]
    async with running(settings) as served:
        page = await Reader(served, reader.tenant).page(first=2, after=cursor)
    assert slugs(page) == EXPECTED[3:5]


async def test_refused_cursor_leaves_the_neighbours_whole(reader: Reader) -> None:
    answer = await reader.api.ask(
        '{ tenant(id: "%s") { id a: datasets(after: "x") { nodes { slug } }'
        " b: datasets(first: 1) { nodes { slug } } } }" % reader.tenant,
        token=reader.api.mint(reader.tenant, "datasets:read"),
    )
    found = answer["data"]["tenant"]
    assert (found["a"], found["b"]) == (None, {"nodes": [{"slug": EXPECTED[0]}]})


# --- a list that changes under the reader


@pytest.mark.parametrize("inserted", ["aaa", "visits-001-b", "visits-006-b", "zzz"])
async def test_insertion_neither_repeats_nor_skips_what_stood_there(
    api: Api, postgres: EmbeddedServer, inserted: str
) -> None:
    tenant = await register_tenant(api)
    source = await provision_source(postgres, tenant)
    standing = [f"visits-{number:03}" for number in range(9)]
    for slug in standing:
        await register_dataset(api, tenant, source, slug)
    reader = Reader(api, tenant)
    seen, after = [], None
    for number in range(4):
        page = await reader.page(first=3, after=after)
        seen += slugs(page)
        after = page["pageInfo"]["endCursor"]
        if number == 0:
            await register_dataset(api, tenant, source, inserted)
    assert [slug for slug in seen if slug != inserted] == standing


async def test_records_are_walked_in_the_order_of_their_ids(
    settings: Settings, tmp_path: Path
) -> None:
    coordinates = ["Region.provider", "Caller.client", "Dataset.version", "Tenant.datasets"]
    records = "".join(
        f"  - {{id: DEP-2026-00{number}, coordinate: {coordinate}, announced: 2026-01-01,"
        f" since: 2026-01-01, until: 2099-01-01, owner: us, reason: it goes.}}\n"
        for number, coordinate in reversed(list(enumerate(coordinates)))
    )
    path = tmp_path / "deprecations.yaml"
    path.write_text(
        f"version: 1\npolicy: {{min_window_days: 1, grace_days: 0}}\nrecords:\n{records}"
    )
    async with running(msgspec.structs.replace(settings, deprecations_file=str(path))) as served:
        found, after = [], None
        for _ in range(2):
            answer = await served.ask(RECORDS, variables={"first": 2, "after": after})
            page = answer["data"]["deprecations"]
            found += [edge["node"]["id"] for edge in page["edges"]]
            after = page["pageInfo"]["endCursor"]
    assert found == [f"DEP-2026-00{number}" for number in range(4)]
