"""A database, a provider of keys that tests steer, and a process that uses both."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch, scratch_database
from tests.unit.keys.jobs.rig import Process, process
from tests.unit.keys.owner import Owner


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as made:
        yield made


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    """Who holds the keys of the test's tenants."""
    return Owner.of(tmp_path / "provider")


@pytest.fixture
async def here(
    scratch: Scratch, settings: Settings, owner: Owner, tmp_path: Path
) -> AsyncIterator[Process]:
    """One process."""
    async with process(scratch, settings, tmp_path, opener=owner) as opened:
        yield opened


@pytest.fixture
async def there(
    scratch: Scratch, settings: Settings, owner: Owner, tmp_path: Path
) -> AsyncIterator[Process]:
    """Another process on the same database."""
    async with process(scratch, settings, tmp_path, opener=owner) as opened:
        yield opened
