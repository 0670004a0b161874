"""The public keys over HTTP."""

# ruff: noqa: UP031 - GraphQL has braces of its own

from pathlib import Path

import msgspec
import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.settings import Settings
from tests.conftest import running
from tests.integration.ledgers import (
    KEYS,
    Reader,
    codes,
)
from tests.unit.db.scratch import scratch_database
from tests.unit.ledger.deployment import BASE
from tests.unit.ledger.runtimes import deployment_witness, witnessed


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


async def test_keys_of_the_witness_are_listed_with_their_algorithms(
    postgres: EmbeddedServer, settings: Settings, tmp_path: Path
) -> None:
    (data := tmp_path / "data").mkdir(mode=0o700)
    async with scratch_database(postgres) as scratch:
        witness = await deployment_witness(scratch, settings, tmp_path / "witness", data)
        try:
            own = msgspec.structs.replace(
                witnessed(settings, data, witness),
                database_url=scratch.url(Role.SERVICE),
                database_system_url=None,
                ledger_origin=BASE,
            )
            async with running(own) as api:
                answer = await api.ask(KEYS, variables={"purpose": "WITNESS"})
        finally:
            witness.stop()
    keys = answer["data"]["verificationKeys"]["nodes"]
    algorithms = sorted(key["algorithm"] for key in keys)
    assert algorithms == ["ECDSA-P256-SHA256", "Ed25519"]
