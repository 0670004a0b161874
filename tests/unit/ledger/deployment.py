"""A ledger on a real database, with a root key in memory."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.keyfile import KeyFileSigner
from subgraph.ledger.announcement import Announcements
from subgraph.ledger.checkpoints import Checkpoints, Growth, WriteGate
from subgraph.ledger.faultpoints import FaultPoints, no_faults
from subgraph.ledger.model import EventType, NewEvent, Receipt
from subgraph.ledger.reading import LedgerReader
from subgraph.ledger.root import RootKey
from subgraph.ledger.service import Ledger
from subgraph.ledger.signing import ProcessKeys, utc_now
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch

BASE = "ledger.test"


class Root:
    """A root signer that can be away."""

    def __init__(self) -> None:
        self.inner = KeyFileSigner(ec.generate_private_key(ec.SECP256R1()))
        self.away = False
        self.signed = 0

    @property
    def key_id(self) -> str:
        return self.inner.key_id

    @property
    def public_key_pem(self) -> str:
        return self.inner.public_key_pem

    @property
    def local(self) -> bool:
        return True

    async def sign(self, message: bytes) -> bytes:
        if self.away:
            raise SubgraphError(ErrorCode.KEY_UNAVAILABLE)
        self.signed += 1
        return await self.inner.sign(message)

    async def close(self) -> None:
        await self.inner.close()


@dataclass
class Deployment:
    """The parts of one process that records."""

    scratch: Scratch
    database: Database
    root: Root
    keys: ProcessKeys
    ledger: Ledger
    reader: LedgerReader
    checkpoints: Checkpoints
    announcements: Announcements
    growth: Growth

    async def record(self, *events: NewEvent) -> list[Receipt]:
        """Append in a transaction of its own."""
        log = events[0].tenant or "_deployment"
        async with self.database.transaction(log) as transaction:
            return await self.ledger.append_many(transaction, events)

    async def ask(self, sql: str, *args: object, role: Role = Role.ADMIN) -> list[Any]:
        return await self.scratch.ask(sql, *args, role=role)


def event(tenant: str | None, number: int = 0, **changes: Any) -> NewEvent:
    """An event that differs from others in its number."""
    given: dict[str, Any] = {
        "type": EventType.DATASET_REGISTERED,
        "actor": "someone",
        "tenant": tenant,
        "payload": {"number": number},
        **changes,
    }
    return NewEvent(**given)


def new_tenant() -> str:
    return f"t-{secrets.token_hex(8)}"


@asynccontextmanager
async def deployment(
    scratch: Scratch,
    settings: Settings,
    *,
    root: Root | None = None,
    clock: Callable[[], datetime] = utc_now,
    faults: FaultPoints = no_faults,
    permit: Callable[[], None] | None = None,
    witness: Any = None,
    gate: WriteGate | None = None,
    renewed: bool = True,
    pool_size: int = 10,
) -> AsyncIterator[Deployment]:
    url = scratch.url(Role.SERVICE)
    database = Database.for_service(
        url, msgspec.structs.replace(settings, database_url=url, pool_size=pool_size)
    )
    await database.open()
    root = root or Root()
    held = RootKey.of(root)
    guard = {} if permit is None else {"permit": permit}
    keys = ProcessKeys(
        database, held, BASE, lifetime=timedelta(hours=24), clock=clock, faults=faults, **guard
    )
    growth = Growth()
    ledger = Ledger(BASE, keys, notice=growth.notice, clock=clock, faults=faults, **guard)
    reader = LedgerReader(database, BASE)
    checkpoints = Checkpoints(
        database, ledger, reader, held, witness=witness, gate=gate, clock=clock, faults=faults
    )
    announcements = Announcements(database, held, BASE, clock=clock, faults=faults, **guard)
    if renewed:
        await keys.renew()
    try:
        yield Deployment(
            scratch, database, root, keys, ledger, reader, checkpoints, announcements, growth
        )
    finally:
        keys.close()
        await database.close()


async def recording_on(database: Database) -> Ledger:
    """A ledger with a delegated key on a database that is migrated."""
    keys = ProcessKeys(database, RootKey.of(Root()), BASE, lifetime=timedelta(hours=1))
    await keys.renew()
    return Ledger(BASE, keys)
