"""A witness that the tests of a module share, one of their own, and who speaks to it."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from subgraph.ledger.witness.client import WitnessClient
from tests.unit.ledger.witness.logs import BELOW, LOG, OTHER, Log, WitnessProcess


@pytest.fixture(scope="module")
async def witness(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[WitnessProcess]:
    """One process; each test has a log of its own."""
    folder = tmp_path_factory.mktemp("witness")
    started = await WitnessProcess(folder, [LOG, OTHER, BELOW]).start()
    yield started
    started.stop()


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[WitnessProcess]:
    """A process for tests that stop it."""
    started = await WitnessProcess(tmp_path, [LOG]).start()
    yield started
    started.stop()


@pytest.fixture
def log() -> Log:
    """A log that the witness has not seen yet."""
    return replace(BELOW, origin=f"log.test/tenant/t-{secrets.token_hex(8)}")


@pytest.fixture
async def http(witness: WitnessProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=witness.url, trust_env=False, timeout=30) as client:
        yield client


@pytest.fixture
async def client(witness: WitnessProcess) -> AsyncIterator[WitnessClient]:
    opened = WitnessClient(witness.url, witness.verifiers, deadline_seconds=30)
    yield opened
    await opened.close()
