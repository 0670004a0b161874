"""The key that a process signs events with, and its delegation by the root.

The private key exists in the memory of one process only. What makes it count is an event of the
deployment log, signed by the root, that names it and the time in which it may sign.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ec

from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.public_key import P256PublicKey
from subgraph.ledger import store
from subgraph.ledger.entry import write_time
from subgraph.ledger.faultpoints import FaultPoint, FaultPoints, no_faults
from subgraph.ledger.model import (
    DEPLOYMENT,
    EventType,
    KeyPurpose,
    Receipt,
    VerificationKey,
    log_origin,
)
from subgraph.ledger.processkey import ProcessKey
from subgraph.ledger.reading import LedgerReader
from subgraph.ledger.recording import record
from subgraph.ledger.root import RootKey
from subgraph.ledger.rootentry import AnnouncedKey, Statement, root_batch, signed_by_root

_log = logging.getLogger(__name__)

_SKEW = timedelta(minutes=5)
_RENEW_AT = 0.75
"""The share of its lifetime after which a key is replaced."""

Clock = Callable[[], datetime]
"""The time now, in UTC."""


def utc_now() -> datetime:
    """The time of this machine."""
    return datetime.now(UTC)


def always() -> None:
    """Permit every append."""


class ProcessKeys:
    """The key of this process, renewed before it expires."""

    def __init__(
        self,
        database: Database,
        root: RootKey,
        base: str,
        *,
        lifetime: timedelta,
        permit: Callable[[], None] = always,
        clock: Clock = utc_now,
        faults: FaultPoints = no_faults,
    ) -> None:
        self._database = database
        self._reader = LedgerReader(database, base)
        self._root = root
        self._base = base
        self._origin = log_origin(base, None)
        self._lifetime = lifetime
        self._permit = permit
        self._clock = clock
        self._faults = faults
        self._key: ProcessKey | None = None
        self._second = ThreadPoolExecutor(1, "ledger-signing")
        self._wanted = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether events can be signed now."""
        return self._valid(self._clock()) is not None

    def current(self, at: datetime) -> ProcessKey:
        """The key for an event of the time `at`.

        Raises `LEDGER_KEY_UNAVAILABLE` before the first delegation, and when the clock jumped out
        of the time for which the key was delegated.
        """
        key = self._valid(at)
        if key is None:
            self._wanted.set()
            raise SubgraphError(ErrorCode.LEDGER_KEY_UNAVAILABLE)
        return key

    async def renew(self) -> Receipt:
        """Make a key and have the root delegate to it; the old key serves until that is recorded.

        Raises what `Sign.sign` and the database raise. The root signs before the transaction.
        """
        root = await self._root.signer()
        private = ec.generate_private_key(ec.SECP256R1())
        public = P256PublicKey.of(private.public_key())
        now = self._clock()
        key = ProcessKey(public.key_id, now - _SKEW, now + self._lifetime, private, self._second)
        announced_root = AnnouncedKey(KeyPurpose.ROOT, root.public_key_pem)
        delegating = Statement(
            EventType.KEY_DELEGATED,
            {
                "keyId": key.key_id,
                "publicKeyPem": public.pem,
                "notBefore": write_time(key.not_before),
                "notAfter": write_time(key.not_after),
                "delegatedBy": root.key_id,
            },
        )
        signed = [
            await signed_by_root(root, self._origin, now, said)
            for said in (announced_root.statement(self._origin), delegating)
        ]
        await self._faults(FaultPoint.DELEGATION_SIGNED)
        self._permit()
        async with self._database.transaction(DEPLOYMENT) as transaction:
            announced, delegated = await record(
                transaction, root_batch(self._origin, signed), self._faults
            )
            for published in (
                VerificationKey(
                    root.key_id,
                    KeyPurpose.ROOT,
                    root.public_key_pem,
                    self._origin,
                    now,
                    None,
                    announced.event_id,
                ),
                VerificationKey(
                    key.key_id,
                    KeyPurpose.PROCESS,
                    public.pem,
                    self._origin,
                    key.not_before,
                    key.not_after,
                    delegated.event_id,
                ),
            ):
                await store.insert_key(transaction, DEPLOYMENT, published)
            await self._faults(FaultPoint.DELEGATION_RECORDED)
        self._key = key
        self._wanted.clear()
        return delegated

    async def revoke(
        self, key_id: str, *, tenant: str | None, from_index: int, reason: str, by: str
    ) -> Receipt:
        """Revoke a key for one log: what it signed there from an index on counts no more.

        No process signs with a key that is revoked for any log. Raises `INVALID_INPUT` for a key
        that the ledger does not know, and what `Sign.sign` raises.
        """
        if key_id not in {key.key_id for key in await self._reader.keys()}:
            raise SubgraphError(ErrorCode.INVALID_INPUT, "the ledger knows no key of this id")
        root = await self._root.signer()
        now = self._clock()
        origin = log_origin(self._base, tenant)
        revoking = Statement(
            EventType.KEY_REVOKED,
            {"keyId": key_id, "origin": origin, "fromIndex": from_index, "reason": reason},
            actor=by,
        )
        signed = [await signed_by_root(root, self._origin, now, revoking)]
        self._permit()
        async with self._database.transaction(DEPLOYMENT) as transaction:
            (receipt,) = await record(transaction, root_batch(self._origin, signed), self._faults)
            index = from_index if tenant is None else None
            await store.revoke_key(transaction, DEPLOYMENT, key_id, now, index)
        if self._key is not None and self._key.key_id == key_id:
            self._key = None
        return receipt

    def close(self) -> None:
        """End the thread that signs beside the others; nothing is signed from then on."""
        self._key = None
        self._second.shutdown()

    async def keep(self, interval: float) -> None:
        """Renew before the key expires, after the clock jumped and after a revocation; for ever.

        Looks every `interval` seconds; a root that is away is asked again the next time.
        """
        while True:
            try:
                await self._renew_if_due()
            except SubgraphError as error:
                _log.warning("no new signing key yet: %s", error)
            try:
                await asyncio.wait_for(self._wanted.wait(), interval)
            except TimeoutError:
                continue
            # What set it is refused until the key is there; do not spin while the root is away.
            self._wanted.clear()

    async def _renew_if_due(self) -> None:
        key = self._valid(self._clock())
        if key is not None:
            known = [known for known in await self._reader.keys() if known.key_id == key.key_id]
            if not known or known[0].revoked_at is not None:
                self._key = key = None
        if key is None or self._clock() >= key.not_before + _SKEW + self._lifetime * _RENEW_AT:
            await self.renew()

    def _valid(self, at: datetime) -> ProcessKey | None:
        key = self._key
        return key if key is not None and key.not_before <= at < key.not_after else None
