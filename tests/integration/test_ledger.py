"""The ledger over HTTP: what is recorded, page by page, and that an outsider can read all of it."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import json

import pytest

from subgraph.ledger import merkle
from subgraph.ledger.delegation import verify_entry_signature
from subgraph.ledger.entry import decode
from tests.integration.datasets import (
    register_tenant,
)
from tests.integration.ledgers import (
    DATASETS,
    EVENTS,
    Reader,
    codes,
    digest,
    signature_of,
)


async def test_registrations_are_events_in_their_order(reader: Reader) -> None:
    types = [event["type"] for event in await reader.events("type")]
    assert types == ["tenant.registered"] + ["dataset.registered"] * DATASETS


async def test_event_says_what_its_entry_says(reader: Reader) -> None:
    origin = (await reader.ledger("origin"))["origin"]
    for event in await reader.events():
        entry = decode(event["entry"].encode())
        key = event["signature"]["keyId"]
        said = (entry.origin, entry.tenant, entry.type, entry.actor, entry.key_id)
        assert said == (origin, reader.tenant, event["type"], event["actor"], key)


async def test_text_of_an_entry_hashes_to_its_leaf(reader: Reader) -> None:
    events = await reader.events()
    hashed = [merkle.leaf_hash(event["entry"].encode()) for event in events]
    assert hashed == [digest(event["leafHash"]) for event in events]


async def test_entries_alone_rebuild_the_root(reader: Reader) -> None:
    tree = merkle.Frontier()
    tree.extend(merkle.leaf_hashes(event["entry"].encode() for event in await reader.events()))
    assert tree.root() == digest((await reader.ledger("rootHash"))["rootHash"])


async def test_signatures_hold_with_keys_that_the_root_delegated_to(reader: Reader) -> None:
    delegated = await reader.delegated()
    for event in await reader.events():
        content = event["entry"].encode()
        right = delegated[event["signature"]["keyId"]]
        verify_entry_signature(content, signature_of(event), right.key)
        assert right.covers(decode(content).at)


@pytest.mark.parametrize("first", [1, 7, 50, 53, 100])
async def test_walk_meets_each_event_once(reader: Reader, first: int) -> None:
    seen, after = [], None
    while True:
        page = (await reader.ledger(EVENTS, first=first, after=after))["events"]
        seen += [int(event["index"]) for event in page["nodes"]]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert seen == list(range(DATASETS + 1))


async def test_walk_of_one_type_meets_no_other(reader: Reader) -> None:
    page = (await reader.ledger(EVENTS, first=2, type="dataset.registered"))["events"]
    behind = page["pageInfo"]["endCursor"]
    following = await reader.ledger(EVENTS, first=2, type="dataset.registered", after=behind)
    found = [*page["nodes"], *following["events"]["nodes"]]
    assert [event["index"] for event in found] == ["1", "2", "3", "4"]


async def test_type_that_nothing_is_of_is_an_empty_page(reader: Reader) -> None:
    page = (await reader.ledger(EVENTS, type="ledger.unheard.of"))["events"]
    assert (page["nodes"], page["pageInfo"]["hasNextPage"]) == ([], False)


@pytest.mark.parametrize("other", [None, "tenant.registered"])
async def test_cursor_of_another_type_is_refused(reader: Reader, other: str | None) -> None:
    page = (await reader.ledger(EVENTS, first=1, type="dataset.registered"))["events"]
    answer = await reader.answer(EVENTS, after=page["pageInfo"]["endCursor"], type=other)
    assert codes(answer) == ["INVALID_CURSOR"]


async def test_cursor_of_another_ledger_is_refused(reader: Reader) -> None:
    page = (await reader.ledger(EVENTS, first=1))["events"]
    other = Reader(reader.api, await register_tenant(reader.api))
    answer = await other.answer(EVENTS, after=page["pageInfo"]["endCursor"])
    assert codes(answer) == ["INVALID_CURSOR"]


ODD_TYPES = {
    "NUL": "\\u0000",
    "NUL behind a type": "dataset.registered\\u0000",
    "empty": "",
    "a quote": "x' OR '1'='1",
    "a line break": "dataset.registered\\n",
    "beyond ASCII": "d\u00e4taset.registered",
    "huge": "a." + "x" * 100_000,
}


@pytest.mark.parametrize("type", ODD_TYPES.values(), ids=ODD_TYPES)
async def test_text_that_is_no_type_is_refused(reader: Reader, type: str) -> None:
    answer = await reader.answer('events(type: "%s") { nodes { id } }' % type)
    assert (answer["data"]["tenant"]["ledger"], codes(answer)) == (
        {"events": None},
        ["BAD_USER_INPUT"],
    )


@pytest.mark.parametrize("first", [0, -1, 101])
async def test_page_size_outside_its_bounds_is_refused(reader: Reader, first: int) -> None:
    answer = await reader.answer(EVENTS, first=first)
    assert codes(answer) == ["BAD_USER_INPUT"]


async def test_deprecation_is_published_once_for_each_version_of_a_record(reader: Reader) -> None:
    # Several applications have served these records by now, some of them other versions.
    listed = await reader.api.ask("{ deprecations(first: 100) { nodes { id } } }")
    records = sorted(node["id"] for node in listed["data"]["deprecations"]["nodes"])
    events = await reader.deployment("deprecation.published")
    payloads = [decode(event["entry"].encode()).payload or {} for event in events]
    versions = [json.dumps(payload, sort_keys=True) for payload in payloads]
    assert set(records) <= {payload["id"] for payload in payloads}
    assert len(set(versions)) == len(versions)
