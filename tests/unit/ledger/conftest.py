"""Two databases for the ledger's tests: one that is shared, one that is broken on purpose."""

from collections.abc import AsyncIterator

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch, scratch_database
from tests.unit.ledger.deployment import Deployment, deployment


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as made:
        yield made


@pytest.fixture(scope="module")
async def process(scratch: Scratch, settings: Settings) -> AsyncIterator[Deployment]:
    """One process that records."""
    async with deployment(scratch, settings) as made:
        yield made
