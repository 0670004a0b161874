"""One migrated database, and on it a process whose clock each test begins anew."""

from collections.abc import AsyncIterator

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.settings import Settings
from tests.unit.approvals.control import control
from tests.unit.db.scratch import Scratch, scratch_database
from tests.unit.keys.breakglass.glass import Glass


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as made:
        yield made


@pytest.fixture
async def glass(scratch: Scratch, settings: Settings) -> AsyncIterator[Glass]:
    async with control(scratch, settings) as dual:
        yield Glass(dual, await dual.make_tenant())
