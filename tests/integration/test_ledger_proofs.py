"""Checkpoints and proofs over HTTP, as an outsider verifies them."""

# ruff: noqa: UP031 - GraphQL has braces of its own

from typing import Any

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from subgraph.ledger import merkle
from subgraph.ledger.note import EcdsaNoteVerifier
from subgraph.ledger.proof import verify_proof
from tests.conftest import Api
from tests.integration.datasets import (
    provision_source,
    register_dataset,
    register_tenant,
)
from tests.integration.ledgers import (
    CHECKPOINT,
    EVENT,
    PROOF,
    Reader,
    codes,
    digest,
    opened,
    reported,
)


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


async def test_page_with_its_proofs_takes_five_statements(reader: Reader) -> None:
    before = await reported(reader.api)
    found = await reader.ledger(
        f"events(first: 50) {{ nodes {{ {EVENT} inclusion {{ {PROOF} }} }} }}"
    )
    # The tenant, its log, the events, the checkpoint, and the nodes of all proofs.
    sent = await reported(reader.api) - before
    proven = [event for event in found["events"]["nodes"] if event["inclusion"]]
    assert (sent, len(proven)) == (5, 50)
