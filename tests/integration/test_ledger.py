"""The ledger over HTTP: what is recorded, and that an outsider can verify all of it."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from subgraph.db import ids
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.ids import IdKind
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from subgraph.ledger import merkle
from subgraph.ledger.delegation import verify_entry_signature
from subgraph.ledger.entry import decode
from subgraph.ledger.model import DEPLOYMENT
from subgraph.ledger.note import EcdsaNoteVerifier
from subgraph.ledger.proof import verify_proof
from subgraph.settings import Settings
from tests.conftest import Api, running
from tests.integration.datasets import (
    first_events,
    provision_source,
    register_dataset,
    register_tenant,
    tenant_with_datasets,
)
from tests.integration.ledgers import (
    CHECKPOINT,
    EVENT,
    EVENTS,
    KEYS,
    PROOF,
    Reader,
    codes,
    digest,
    opened,
    signature_of,
)

DATASETS = 52
ENTITIES = (
    "query($of: [_Any!]!) { _entities(representations: $of) { ... on LedgerEvent { id type } } }"
)


@pytest.fixture(scope="module")
async def signing(settings: Settings) -> AsyncIterator[Api]:
    """An application that signs checkpoints all the time."""
    async with running(msgspec.structs.replace(settings, checkpoint_seconds=0.2)) as served:
        yield served


@pytest.fixture(scope="module")
async def reader(signing: Api, postgres: EmbeddedServer) -> Reader:
    tenant, _ = await tenant_with_datasets(signing, postgres, DATASETS)
    found = Reader(signing, tenant)
    await found.covered(DATASETS + 1)
    return found


# --- events


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


# --- one event


async def test_event_of_a_ledger_is_found_by_its_id(reader: Reader) -> None:
    wanted = (await reader.events())[3]
    assert (await reader.ledger(f"event(id: $id) {{ {EVENT} }}", id=wanted["id"]))[
        "event"
    ] == wanted


async def test_entities_answer_events_in_their_order(reader: Reader) -> None:
    wanted = [event["id"] for event in reversed(await reader.events("id"))]
    of = [{"__typename": "LedgerEvent", "id": item} for item in wanted]
    answer = await reader.api.ask(ENTITIES, token=reader.token, variables={"of": of})
    assert [item["id"] for item in answer["data"]["_entities"]] == wanted


async def unseen(reader: Reader) -> dict[str, str]:
    """Ids of events that the reader may not see, or that nobody can."""
    other = await register_tenant(reader.api)
    (foreign,) = await first_events(reader.api, other, 1)
    deployment = (await reader.deployment("ledger.key.announced"))[0]["id"]
    return {
        "foreign": foreign,
        "of the deployment": deployment,
        "unknown": ids.encode(IdKind.LEDGER_EVENT, reader.tenant, uuid4()),
        "of no tenant": ids.encode(IdKind.LEDGER_EVENT, "t-" + secrets.token_hex(8), uuid4()),
        "of no event of the deployment": ids.encode(IdKind.LEDGER_EVENT, DEPLOYMENT, uuid4()),
        "of a tenant with a space": ids.encode(IdKind.LEDGER_EVENT, "a b", uuid4()),
        "of a tenant beyond ASCII": ids.encode(IdKind.LEDGER_EVENT, "t\u00e4", uuid4()),
        "of a data set": ids.encode(IdKind.DATASET, reader.tenant, uuid4()),
        "no id": "x",
        "empty": "",
    }


async def test_event_that_the_reader_may_not_see_is_like_none_in_the_ledger(
    reader: Reader,
) -> None:
    for kind, event in (await unseen(reader)).items():
        answer = await reader.answer("event(id: $id) { id }", id=event)
        assert answer == {"data": {"tenant": {"ledger": {"event": None}}}}, kind


@pytest.mark.parametrize("scopes", [("ledger:read",), ("ledger:read", "ledger:deployment")])
async def test_event_that_the_reader_may_not_see_is_like_none_among_entities(
    reader: Reader, scopes: tuple[str, ...]
) -> None:
    hidden = (await unseen(reader)).values()
    answer = await reader.api.ask(
        ENTITIES,
        token=reader.api.mint(reader.tenant, *scopes),
        variables={"of": [{"__typename": "LedgerEvent", "id": event} for event in hidden]},
    )
    assert answer == {"data": {"_entities": [None] * len(hidden)}}


async def test_event_is_like_none_without_the_scope(reader: Reader) -> None:
    (event,) = await first_events(reader.api, reader.tenant, 1)
    answer = await reader.api.ask(
        ENTITIES,
        token=reader.api.mint(reader.tenant, "datasets:read"),
        variables={"of": [{"__typename": "LedgerEvent", "id": event}]},
    )
    assert answer == {"data": {"_entities": [None]}}


async def test_operator_reads_events_of_the_deployment_as_entities(reader: Reader) -> None:
    event = (await reader.deployment("ledger.key.announced"))[0]["id"]
    answer = await reader.api.ask(
        ENTITIES,
        token=reader.operator,
        variables={"of": [{"__typename": "LedgerEvent", "id": event}]},
    )
    assert answer["data"] == {"_entities": [{"id": event, "type": "ledger.key.announced"}]}


@pytest.mark.parametrize("scopes", [("ledger:deployment",), ("platform:*", "ledger:deployment")])
async def test_tenant_never_reads_the_log_of_the_deployment(
    reader: Reader, scopes: tuple[str, ...]
) -> None:
    token = reader.api.mint(reader.tenant, *scopes)
    answer = await reader.api.ask("{ deploymentLedger { size } }", token=token)
    assert (answer["data"], codes(answer)) == ({"deploymentLedger": None}, ["FORBIDDEN"])


# --- proofs


async def test_event_is_proven_once_a_checkpoint_covers_it(
    signing: Api, postgres: EmbeddedServer
) -> None:
    async with operator_transaction(postgres.url(Role.OWNER)) as transaction:
        # Whoever signs a checkpoint has to wait, while everybody can read.
        await transaction.run("LOCK TABLE ledger_checkpoint IN EXCLUSIVE MODE")
        reader = Reader(signing, await register_tenant(signing))
        (before,) = await reader.events("inclusion { treeSize }")
    await reader.covered(1)
    (after,) = await reader.events("inclusion { treeSize }")
    assert (before["inclusion"], after["inclusion"]) == (None, {"treeSize": "1"})


async def test_every_event_is_in_the_tree_that_the_root_signed(reader: Reader) -> None:
    origin, root = (await reader.ledger("origin"))["origin"], await reader.root()
    for event in await reader.events(f"entry inclusion {{ {PROOF} }}"):
        proof = event["inclusion"]
        signed = opened(proof["checkpoint"]["note"], origin, root)
        assert (signed.origin, str(signed.size)) == (origin, proof["treeSize"])
        leaf = merkle.leaf_hash(event["entry"].encode())
        path = [digest(item) for item in proof["hashes"]]
        merkle.verify_inclusion(leaf, int(proof["index"]), signed.size, path, signed.root)


async def test_portable_proof_holds_for_its_entry(reader: Reader) -> None:
    origin, root = (await reader.ledger("origin"))["origin"], await reader.root()
    for event in await reader.events("entry inclusion { tlogProof checkpoint { note } }"):
        proof = event["inclusion"]
        note = verify_proof(
            event["entry"].encode(), proof["tlogProof"], [EcdsaNoteVerifier(origin, root)]
        )
        assert (note.text, note.checkpoint.origin) == (proof["checkpoint"]["note"], origin)


async def test_checkpoint_says_what_its_note_says(reader: Reader) -> None:
    found = await reader.ledger(f"origin checkpoint {{ {CHECKPOINT} }}")
    checkpoint = found["checkpoint"]
    signed = opened(checkpoint["note"], found["origin"], await reader.root())
    said = (int(checkpoint["size"]), digest(checkpoint["rootHash"]))
    assert (signed.size, signed.root) == said


async def two_checkpoints(
    api: Api, postgres: EmbeddedServer
) -> tuple[Reader, dict[str, Any], dict[str, Any]]:
    """A ledger of 1 event and then 4, and its checkpoints at both sizes."""
    found = Reader(api, await register_tenant(api))
    older = await found.covered(1)
    source = await provision_source(postgres, found.tenant)
    for number in range(3):
        await register_dataset(api, found.tenant, source, f"visits-{number}")
    return found, older, await found.covered(4)


async def test_old_checkpoint_is_found_by_its_size(signing: Api, postgres: EmbeddedServer) -> None:
    reader, older, _ = await two_checkpoints(signing, postgres)
    found = await reader.ledger(f"checkpoint(size: $size) {{ {CHECKPOINT} }}", size="1")
    assert found["checkpoint"] == older


async def test_proof_is_for_the_checkpoint_that_is_asked_for(
    signing: Api, postgres: EmbeddedServer
) -> None:
    reader, _, newer = await two_checkpoints(signing, postgres)
    nodes = await reader.events(
        'old: inclusion(size: "1") { treeSize } new: inclusion { treeSize }'
    )
    first, second = nodes[:2]
    assert (first["old"], second["old"]) == ({"treeSize": "1"}, None)
    assert second["new"] == {"treeSize": newer["size"]}


async def test_consistency_of_two_checkpoints_is_proven(
    signing: Api, postgres: EmbeddedServer
) -> None:
    reader, older, newer = await two_checkpoints(signing, postgres)
    found = await reader.ledger(
        "consistency(fromSize: $from, toSize: $to) { fromSize toSize hashes }",
        **{"from": older["size"], "to": newer["size"]},
    )
    proof = found["consistency"]
    merkle.verify_consistency(
        int(proof["fromSize"]),
        int(proof["toSize"]),
        [digest(item) for item in proof["hashes"]],
        digest(older["rootHash"]),
        digest(newer["rootHash"]),
    )


@pytest.mark.parametrize(("older", "newer"), [(5, 4), (0, 54), (54, 54), (1, 2**63 - 1)])
async def test_sizes_that_the_log_never_had_are_refused(
    reader: Reader, older: int, newer: int
) -> None:
    answer = await reader.answer(
        "consistency(fromSize: $from, toSize: $to) { hashes }",
        **{"from": str(older), "to": str(newer)},
    )
    assert (codes(answer), "at most 53" in answer["errors"][0]["message"]) == (
        ["INVALID_INPUT"],
        True,
    )


@pytest.mark.parametrize("size", [0, 53])
async def test_log_is_consistent_with_itself(reader: Reader, size: int) -> None:
    query = "consistency(fromSize: $from, toSize: $to) { hashes }"
    found = await reader.ledger(query, **{"from": str(size), "to": str(size)})
    assert found == {"consistency": {"hashes": []}}


@pytest.mark.parametrize("size", [0, 2**63 - 1])
async def test_size_without_a_checkpoint_has_none(reader: Reader, size: int) -> None:
    query = "checkpoint(size: $size) { size } events(first: 1) { nodes"
    found = await reader.ledger(query + " { inclusion(size: $size) { index } } }", size=str(size))
    assert found == {"checkpoint": None, "events": {"nodes": [{"inclusion": None}]}}


BAD_SIZES = ["-1", "1e3", "1.0", "", " 1", "+1", "01", "0x1", "\u0661", "1_0", str(2**64), 1, True]


@pytest.mark.parametrize("size", BAD_SIZES)
async def test_variable_that_is_no_size_is_refused(reader: Reader, size: object) -> None:
    answer = await reader.answer("checkpoint(size: $size) { size }", size=size)
    (error,) = answer["errors"]
    assert (error["extensions"]["code"], "string of decimal digits" in error["message"]) == (
        "BAD_USER_INPUT",
        True,
    )


@pytest.mark.parametrize("literal", ["1", "-1", '"-1"', '"1e3"', f'"{2**64}"', "1.5", "true"])
async def test_literal_that_is_no_size_is_refused(reader: Reader, literal: str) -> None:
    answer = await reader.answer("checkpoint(size: %s) { size }" % literal)
    (error,) = answer["errors"]
    assert ("data" in answer, "string of decimal digits" in error["message"]) == (False, True)


# --- keys


async def test_keys_are_public_and_name_the_log_of_the_deployment(reader: Reader) -> None:
    answer = await reader.api.ask(KEYS, variables={"purpose": "ROOT"})
    origin = await reader.api.ask("{ deploymentLedger { origin } }", token=reader.operator)
    (key,) = answer["data"]["verificationKeys"]["nodes"]
    assert key["origin"] == origin["data"]["deploymentLedger"]["origin"]


async def test_keys_of_processes_are_not_published(reader: Reader) -> None:
    (event,) = (await reader.events())[:1]
    answer = await reader.api.ask(KEYS, variables={"ids": [event["signature"]["keyId"]]})
    assert answer["data"]["verificationKeys"]["nodes"] == []


async def test_key_is_found_by_its_id(reader: Reader) -> None:
    root = await reader.root()
    answer = await reader.api.ask(KEYS, variables={"ids": ["x", root.key_id, root.key_id]})
    found = [key["keyId"] for key in answer["data"]["verificationKeys"]["nodes"]]
    assert found == [root.key_id]


async def test_walk_of_the_keys_ends(reader: Reader) -> None:
    first = (await reader.api.ask(KEYS, variables={"first": 1}))["data"]["verificationKeys"]
    after = first["pageInfo"]["endCursor"]
    second = await reader.api.ask(KEYS, variables={"first": 1, "after": after})
    assert second["data"]["verificationKeys"]["nodes"] == []


@pytest.mark.parametrize("other", [{"purpose": "WITNESS"}, {"ids": ["x"]}, {"ids": []}])
async def test_cursor_of_other_keys_is_refused(reader: Reader, other: dict[str, object]) -> None:
    first = (await reader.api.ask(KEYS))["data"]["verificationKeys"]
    after = first["pageInfo"]["endCursor"]
    answer = await reader.api.ask(KEYS, variables={**other, "after": after})
    assert codes(answer) == ["INVALID_CURSOR"]


@pytest.mark.parametrize("key", ["\\u0000", "", "x" * 100_000])
async def test_odd_key_id_names_nothing(reader: Reader, key: str) -> None:
    answer = await reader.api.ask('{ verificationKeys(keyIds: ["%s"]) { nodes { keyId } } }' % key)
    assert answer == {"data": {"verificationKeys": {"nodes": []}}}


# --- statements


async def reported(api: Api) -> float:
    """How many statements operations have taken, which leaves out what runs beside them."""
    page = (await api.client.get("/metrics")).text
    found = re.search(r"^graphql_operation_statements_sum(?:\{.*\})? (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_page_with_its_proofs_takes_five_statements(reader: Reader) -> None:
    before = await reported(reader.api)
    found = await reader.ledger(
        f"events(first: 50) {{ nodes {{ {EVENT} inclusion {{ {PROOF} }} }} }}"
    )
    # The tenant, its log, the events, the checkpoint, and the nodes of all proofs.
    sent = await reported(reader.api) - before
    proven = [event for event in found["events"]["nodes"] if event["inclusion"]]
    assert (sent, len(proven)) == (5, 50)


async def test_events_of_many_tenants_take_one_statement(
    api: Api,
) -> None:
    tenants = await asyncio.gather(*(register_tenant(api) for _ in range(10)))
    events = [(await first_events(api, tenant, 1))[0] for tenant in tenants]
    before = await reported(api)
    answer = await api.ask(
        ENTITIES,
        token=api.mint(None, "platform:tenants", "ledger:read"),
        variables={"of": [{"__typename": "LedgerEvent", "id": event} for event in events]},
    )
    sent = await reported(api) - before
    assert (sent, [item["id"] for item in answer["data"]["_entities"]]) == (1, events)
