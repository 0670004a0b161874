"""A process on a database of its own, for all tests of a module."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch, scratch_database
from tests.unit.keys.jobs.rig import Process, process


@pytest.fixture(scope="module")
async def scratch(postgres: EmbeddedServer) -> AsyncIterator[Scratch]:
    async with scratch_database(postgres) as made:
        yield made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keys")


@pytest.fixture(scope="module")
async def here(scratch: Scratch, settings: Settings, folder: Path) -> AsyncIterator[Process]:
    async with process(scratch, settings, folder) as opened:
        yield opened
