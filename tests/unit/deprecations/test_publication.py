"""Each version of a record is published once in the deployment log."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from datetime import date, timedelta

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.deprecations.model import Deprecation
from subgraph.deprecations.publication import Publication
from subgraph.ledger.entry import decode
from subgraph.settings import Settings
from tests.unit.db.scratch import scratch_database
from tests.unit.ledger.deployment import Deployment, deployment

RECORD = Deprecation(
    id="DEP-2026-001",
    coordinate="Tenant.displayName",
    announced=date(2026, 11, 23),
    since=date(2026, 11, 23),
    until=date(2027, 3, 31),
    grace=timedelta(days=30),
    reason="The same value as Tenant.name.",
    owner="governance-core",
    replacement="Tenant.name",
)


@pytest.fixture
async def process(postgres: EmbeddedServer, settings: Settings) -> AsyncIterator[Deployment]:
    async with scratch_database(postgres) as scratch, deployment(scratch, settings) as made:
        yield made


async def published(process: Deployment) -> list[object]:
    events = await process.reader.events(None, first=99, type="deprecation.published")
    return [payload["until"] for e in events if (payload := decode(e.entry).payload)]


async def test_many_starts_publish_a_record_once(process: Deployment) -> None:
    publication = Publication(process.database, process.ledger, process.reader)
    await asyncio.gather(*(publication.publish([RECORD]) for _ in range(5)))
    await publication.publish([RECORD])
    assert await published(process) == ["2027-03-31"]


async def test_a_record_that_changed_is_published_again(process: Deployment) -> None:
    publication = Publication(process.database, process.ledger, process.reader)
    await publication.publish([RECORD])
    later = dataclasses.replace(RECORD, until=date(2027, 6, 30))
    await publication.publish([later])
    await publication.publish([RECORD, later])
    assert await published(process) == ["2027-03-31", "2027-06-30"]


async def test_no_records_need_no_event(process: Deployment) -> None:
    before = await process.reader.head(None)
    await Publication(process.database, process.ledger, process.reader).publish([])
    assert await process.reader.head(None) == before
