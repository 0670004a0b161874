"""Announces public keys in the deployment log, so that whoever reads it can look them up.

An announcement says that the deployment uses a key; it makes nobody trust it. Each key is
announced once, and signed by the root.
"""

from collections.abc import Callable, Sequence

from subgraph.db.service import Database
from subgraph.ledger import store
from subgraph.ledger.faultpoints import FaultPoint, FaultPoints, no_faults
from subgraph.ledger.model import DEPLOYMENT, VerificationKey, log_origin
from subgraph.ledger.reading import LedgerReader
from subgraph.ledger.recording import record
from subgraph.ledger.root import RootKey
from subgraph.ledger.rootentry import AnnouncedKey, root_batch, signed_by_root
from subgraph.ledger.signing import Clock, always, utc_now


class Announcements:
    """Publishes the keys that the deployment uses besides the root's and the processes'."""

    def __init__(
        self,
        database: Database,
        root: RootKey,
        base: str,
        *,
        permit: Callable[[], None] = always,
        clock: Clock = utc_now,
        faults: FaultPoints = no_faults,
    ) -> None:
        self._database = database
        self._reader = LedgerReader(database, base)
        self._root = root
        self._origin = log_origin(base, None)
        self._permit = permit
        self._clock = clock
        self._faults = faults

    async def announce(self, keys: Sequence[AnnouncedKey]) -> None:
        """Announce those of the keys that are not published yet, in one transaction.

        Raises `VerificationFailed` for a text that is no public key, what `Sign.sign` and the
        database raise, and what `permit` raises. The root signs before the transaction.
        """
        known = {key.key_id for key in await self._reader.keys()}
        missing = {key.key_id: key for key in keys if key.key_id not in known}
        if not missing:
            return
        root, now = await self._root.signer(), self._clock()
        signed = [
            await signed_by_root(root, self._origin, now, key.statement(self._origin))
            for key in missing.values()
        ]
        self._permit()
        async with self._database.transaction(DEPLOYMENT) as transaction:
            receipts = await record(transaction, root_batch(self._origin, signed), self._faults)
            for key, receipt in zip(missing.values(), receipts, strict=True):
                published = VerificationKey(
                    key.key_id,
                    key.purpose,
                    key.public_key_pem,
                    self._origin,
                    now,
                    None,
                    receipt.event_id,
                )
                await store.insert_key(transaction, DEPLOYMENT, published)
            await self._faults(FaultPoint.KEYS_ANNOUNCED)
