"""A database for the accountant's tests."""

from collections.abc import AsyncIterator

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.settings import Settings
from tests.unit.budgets.accounts import Accounts, accounts
from tests.unit.db.scratch import Scratch, scratch_database


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as made:
        yield made


@pytest.fixture(scope="module")
async def books(scratch: Scratch, settings: Settings) -> AsyncIterator[Accounts]:
    """One process that spends."""
    async with accounts(scratch, settings) as opened:
        yield opened
