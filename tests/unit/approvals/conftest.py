"""One migrated database, and on it a process whose clock each test begins anew."""

from collections.abc import AsyncIterator

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.settings import Settings
from tests.unit.approvals.control import Control, control
from tests.unit.db.scratch import Scratch, scratch_database


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as made:
        yield made


@pytest.fixture
async def dual(scratch: Scratch, settings: Settings) -> AsyncIterator[Control]:
    async with control(scratch, settings) as made:
        yield made


@pytest.fixture
async def tenant(dual: Control) -> str:
    return await dual.make_tenant()
