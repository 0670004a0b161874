"""A ledger on the benchmark's database, as the service has it, with a root in memory."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.kms.keyfile import KeyFileSigner
from subgraph.ledger.checkpoints import Checkpoints
from subgraph.ledger.model import EventType, NewEvent
from subgraph.ledger.reading import LedgerReader
from subgraph.ledger.root import RootKey
from subgraph.ledger.service import Ledger
from subgraph.ledger.signing import ProcessKeys
from subgraph.settings import Settings

BASE = "ledger.bench"
ENTRY_BYTES = 600
_ACTOR = "bench-operator"
_PADDING = 176
"""With this much text in its payload, an entry of `event` has `ENTRY_BYTES`."""


@dataclass(frozen=True, slots=True)
class Recorder:
    """The parts of one process that records."""

    server: EmbeddedServer
    database: Database
    ledger: Ledger
    reader: LedgerReader
    checkpoints: Checkpoints


@asynccontextmanager
async def recording(server: EmbeddedServer) -> AsyncIterator[Recorder]:
    """A process that records, with a delegated key."""
    url = server.url(Role.SERVICE)
    database = Database.for_service(url, Settings(database_url=url))
    await database.open()
    root = RootKey.of(KeyFileSigner(ec.generate_private_key(ec.SECP256R1())))
    keys = ProcessKeys(database, root, BASE, lifetime=timedelta(hours=24))
    try:
        await keys.renew()
        ledger = Ledger(BASE, keys)
        reader = LedgerReader(database, BASE)
        checkpoints = Checkpoints(database, ledger, reader, root)
        yield Recorder(server, database, ledger, reader, checkpoints)
    finally:
        keys.close()
        await database.close()


def event(tenant: str, number: int) -> NewEvent:
    """An event whose entry has `ENTRY_BYTES`; tenants have ids of nine characters."""
    return NewEvent(
        EventType.DATASET_REGISTERED,
        _ACTOR,
        tenant,
        {
            "datasetId": f"{number:032x}",
            "license": "CC-BY-4.0",
            "region": "aws:eu-central-1",
            "text": "x" * _PADDING,
            "version": 1,
        },
    )
