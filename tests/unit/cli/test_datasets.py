"""`ig datasets`: offers a relation to a tenant, lists offers, and says why not."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from subgraph.cli.main import main
from subgraph.db import ids
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.ids import IdKind
from subgraph.db.roles import Role
from tests.unit.db.scratch import Scratch, fill, scratch_database

RELATION = "public.dataset"


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as made:
        await fill(made, ["t-a"], datasets=1)
        yield made


@pytest.fixture(autouse=True)
def system(scratch: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IG_DATABASE_SYSTEM_URL", scratch.url(Role.SYSTEM))


def offer(tenant: str, relation: str) -> int:
    return main(["datasets", "provision", "--tenant", tenant, "--relation", relation])


def test_an_offer_prints_the_public_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert offer("t-a", RELATION) == 0
    identity, relation = capsys.readouterr().out.split()
    entity = ids.decode(IdKind.DATASET_SOURCE, identity)
    assert entity is not None
    assert (entity.tenant, relation) == ("t-a", RELATION)


def test_offers_are_listed_as_they_were_printed(capsys: pytest.CaptureFixture[str]) -> None:
    offer("t-a", RELATION)
    printed = capsys.readouterr().out
    assert main(["datasets", "sources", "--tenant", "t-a"]) == 0
    assert printed in capsys.readouterr().out


@pytest.mark.parametrize(
    ("tenant", "relation", "reason"),
    [
        ("t-a", "dataset", "a relation is named schema.table"),
        ("t-a", "public.nothing", "there is no relation public.nothing"),
        ("t-a", "public.alembic_version", "has no text column tenant_id"),
        ("t-b", RELATION, "no tenant t-b is registered"),
    ],
)
def test_a_wrong_offer_is_refused_with_the_reason(
    tenant: str, relation: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offer(tenant, relation) == 1
    shown = capsys.readouterr().err
    assert (shown.startswith("ig: INVALID_INPUT: "), reason in shown) == (True, True)


def test_offers_of_an_unknown_tenant_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["datasets", "sources", "--tenant", "t-b"]) == 1
    assert "no tenant t-b is registered" in capsys.readouterr().err


def test_without_the_systems_address_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("IG_DATABASE_SYSTEM_URL")
    monkeypatch.setenv("DATABASE_URL", "postgresql://a@b/c")
    assert offer("t-a", RELATION) == 1
    assert "IG_DATABASE_SYSTEM_URL is not set" in capsys.readouterr().err


def test_without_any_address_the_ways_to_name_one_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("IG_DATABASE_SYSTEM_URL")
    monkeypatch.setenv("IG_DATA_DIR", str(tmp_path))
    assert offer("t-a", RELATION) == 1
    message = f"no database: set DATABASE_URL, or start `ig demo` on {tmp_path}"
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("dsn", "code"),
    [
        ("postgresql://a@/b?host=/nonexistent", "DATABASE_UNAVAILABLE"),
        ("mysql://a@b/c", "SETTINGS_INVALID"),
    ],
)
def test_a_database_that_cannot_be_reached_is_told(
    dsn: str, code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IG_DATABASE_SYSTEM_URL", dsn)
    assert offer("t-a", RELATION) == 1
    assert capsys.readouterr().err.startswith(f"ig: {code}: ")
