"""An application that signs all the time, and a reader of one ledger of it."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.settings import Settings
from tests.conftest import Api, running
from tests.integration.datasets import (
    tenant_with_datasets,
)
from tests.integration.ledgers import (
    DATASETS,
    Reader,
)


@pytest.fixture(scope="module")
async def signing(settings: Settings) -> AsyncIterator[Api]:
    """An application that signs checkpoints all the time."""
    async with running(msgspec.structs.replace(settings, checkpoint_seconds=0.2)) as served:
        yield served


@pytest.fixture(scope="module")
async def reader(signing: Api, postgres: EmbeddedServer) -> Reader:
    tenant, _ = await tenant_with_datasets(signing, postgres, DATASETS)
    found = Reader(signing, tenant)
    await found.covered(DATASETS + 1)
    return found
