"""The ledger of one process: its parts, what runs beside the requests, and its state."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

from subgraph.db.migrations import HEAD
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.contract import Sign
from subgraph.kms.options import KmsOptions
from subgraph.kms.signers import open_signer
from subgraph.ledger.announcement import Announcements
from subgraph.ledger.checkpoints import Checkpoints, Growth, Schedule, WriteGate
from subgraph.ledger.cosignature import CosignatureVerifier
from subgraph.ledger.model import KeyPurpose
from subgraph.ledger.reading import LedgerReader
from subgraph.ledger.root import RootKey
from subgraph.ledger.rootentry import AnnouncedKey
from subgraph.ledger.service import Ledger
from subgraph.ledger.signing import ProcessKeys
from subgraph.ledger.witness.client import WitnessClient
from subgraph.ledger.witness.keys import Verifier, read_verifiers, verifier_key
from subgraph.settings import Settings

_log = logging.getLogger(__name__)

_ROOT_FILE = "ledger-root.pem"
_OK = "ok"

Started = Callable[[], Awaitable[None]]
"""What to record once the ledger has started; called again until it succeeds."""


async def open_root(settings: Settings, *, create: bool = True) -> Sign:
    """The root's signer. Without a setting it is the data folder's, made by `create` if missing.

    Raises what `open_signer` raises.
    """
    named = settings.ledger_root_key
    if named is not None:
        return await open_signer(named, options=KmsOptions.of(settings))
    return await open_signer(f"file:{settings.data_path / _ROOT_FILE}", create=create)


class LedgerRuntime:
    """What a process needs to record, to prove and to sign; `start` comes before the first event.

    Construction raises `SETTINGS_INVALID` and opens nothing; it happens where the event loop runs.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        base = settings.ledger_origin
        verifiers = _verifiers(settings)
        witness = _witness(settings, verifiers)
        self._announced = [_witness_key(verifier) for verifier in verifiers]
        self._settings = settings
        self._database = database
        self._witness = witness
        self._root = RootKey(lambda: open_root(settings))
        self._growth = Growth()
        self._gate = WriteGate(ErrorCode.WITNESS_UNAVAILABLE if witness else None)
        lifetime = timedelta(hours=settings.process_key_hours)
        self.keys = ProcessKeys(
            database, self._root, base, lifetime=lifetime, permit=self._gate.permit
        )
        self.announcements = Announcements(database, self._root, base, permit=self._gate.permit)
        self.ledger = Ledger(base, self.keys, permit=self._gate.permit, notice=self._growth.notice)
        self.reader = LedgerReader(database, base)
        self.checkpoints = Checkpoints(
            database, self.ledger, self.reader, self._root, witness=witness, gate=self._gate
        )

    def status(self) -> str:
        """`ok`, or the code of what keeps events from being recorded."""
        if self._gate.closed is not None:
            return self._gate.closed.name
        return _OK if self.keys.ready else ErrorCode.LEDGER_KEY_UNAVAILABLE.name

    async def start(self) -> None:
        """Have the witness vouch for the database, get a delegated key, and announce the witness's.

        Raises what `Checkpoints.admit`, `ProcessKeys.renew` and `Announcements.announce` raise; may
        be called again.
        """
        if await self._database.revision() != HEAD:
            raise SubgraphError(ErrorCode.DATABASE_NOT_MIGRATED)
        await self.checkpoints.admit()
        if not self.keys.ready:
            await self.keys.renew()
        await self.announcements.announce(self._announced)

    async def run(self, started: Started) -> None:
        """Start, call `started` once, then renew keys and sign checkpoints; for ever.

        Whatever is away at the start is asked again until it answers.
        """
        while not await self._tried(self.start):
            await asyncio.sleep(self._settings.checkpoint_seconds)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.keys.keep(self._settings.checkpoint_seconds))
            tasks.create_task(self.checkpoints.keep(self._schedule, self._growth, self._system))
            while not await self._tried(started):
                await asyncio.sleep(self._settings.checkpoint_seconds)

    async def root(self) -> Sign:
        """The root's signer. Raises what opening it raises."""
        return await self._root.signer()

    async def close(self) -> None:
        """Give back the root's signer, the witness's connections and the signing thread."""
        self.keys.close()
        await self._root.close()
        if self._witness is not None:
            await self._witness.close()

    @property
    def _schedule(self) -> Schedule:
        return Schedule(self._settings.checkpoint_seconds, self._settings.checkpoint_events)

    @property
    def _system(self) -> str | None:
        return self._settings.database_system_url

    @staticmethod
    async def _tried(step: Started) -> bool:
        try:
            await step()
        except SubgraphError as error:
            _log.warning("the ledger is not complete yet: %s", error)
            return False
        return True


def _verifiers(settings: Settings) -> tuple[Verifier, ...]:
    if settings.witness is None:
        return ()
    assert settings.witness_verifiers_file is not None
    file = Path(settings.witness_verifiers_file)
    try:
        return read_verifiers(file.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"IG_WITNESS_VERIFIERS_FILE: {error.strerror}"
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, message) from None


def _witness(settings: Settings, verifiers: Sequence[Verifier]) -> WitnessClient | None:
    if settings.witness is None:
        if settings.witness_url is None:
            _log.warning("no witness: a restored backup of the ledger would go unnoticed")
        return None
    return WitnessClient(settings.witness, verifiers)


def _witness_key(verifier: Verifier) -> AnnouncedKey:
    pem = verifier.pem if isinstance(verifier, CosignatureVerifier) else verifier.key.pem
    return AnnouncedKey(KeyPurpose.WITNESS, pem, {"verifierKey": verifier_key(verifier)})
