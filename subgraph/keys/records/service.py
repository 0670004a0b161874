"""Stores, deletes and opens protected records."""

import time
from datetime import UTC, datetime
from random import randrange
from uuid import UUID, uuid4

from subgraph.db import idempotency
from subgraph.db.service import Database, Transaction
from subgraph.db.tables.keys import COUNTER_SHARDS
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.custody import data_key_store
from subgraph.keys.custody.model import KeyState, StoredDataKey
from subgraph.keys.custody.service import KeyCustody
from subgraph.keys.records import store
from subgraph.keys.records.activity import Activity, RecordActivity
from subgraph.keys.records.cipher import RecordCipher
from subgraph.keys.records.errors import InvalidRecord
from subgraph.keys.records.model import NewRecord, StoredRecord
from subgraph.keys.records.rules import check
from subgraph.keys.telemetry import KeyTelemetry
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.ledger.model import EventType, NewEvent
from subgraph.ledger.service import Ledger
from subgraph.ledger.subjects import append_about

_ATTEMPTS = 5


class RecordService:
    """The protected records of all tenants.

    Ordinary writes and decryptions are counted and go into the ledger as sums; a deletion is an
    event of its own.
    """

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        custody: KeyCustody,
        cipher: RecordCipher,
        activity: RecordActivity,
        *,
        telemetry: KeyTelemetry,
    ) -> None:
        self._database = database
        self._ledger = ledger
        self._custody = custody
        self._cipher = cipher
        self._activity = activity
        self._telemetry = telemetry

    async def put(
        self, tenant: str, wanted: NewRecord, *, idempotency_key: str, by: str
    ) -> StoredRecord:
        """Store a record, or replace the one with `record_id`; it is encrypted before it leaves.

        A repeat answers the record as it stands now, and changes nothing. Raises `InvalidRecord`,
        `INVALID_INPUT` beyond 1 MiB in all, `IDEMPOTENCY_CONFLICT`, `BAD_USER_INPUT`,
        `KEY_NOT_FOUND` for a tenant without a key, `KeyProviderError` while the key cannot be
        used, and what `Ledger.permit` raises.
        """
        check(wanted)
        self._ledger.permit()
        idempotency.check_key(idempotency_key)
        request = _request(wanted)
        record_id = wanted.record_id or uuid4()
        for _ in range(_ATTEMPTS):
            # Another generation may take over between the encryption and the transaction.
            data_key = await self._custody.active_data_key(tenant, wanted.object_type, by=by)
            sealed = await self._sealed(tenant, record_id, wanted, data_key)
            digest = await self._cipher.digest(tenant, data_key.data_key_id, request)
            async with self._database.transaction(tenant) as transaction:
                state = await data_key_store.share_active(transaction, tenant, data_key.data_key_id)
                if state is None:
                    continue
                if state is KeyState.SUSPENDED:
                    raise KeyProviderError(KeyFault.KEY_DISABLED, "the key is suspended")
                claim = await idempotency.enter(
                    transaction,
                    tenant,
                    "putRecord",
                    idempotency_key,
                    request_digest=digest,
                    result=record_id,
                )
                if claim.fresh:
                    await self._write(transaction, sealed, replace=wanted.record_id is not None)
            if claim.fresh:
                self._activity.note(tenant, wanted.object_type, Activity.PUT)
            elif not await self._cipher.is_digest(tenant, claim.request_digest, request):
                raise SubgraphError(ErrorCode.IDEMPOTENCY_CONFLICT)
            standing = await store.records(self._database, [(tenant, claim.result_id)])
            if (tenant, claim.result_id) not in standing:
                raise SubgraphError(ErrorCode.UNKNOWN_OBJECT, "the record was deleted meanwhile")
            return standing[tenant, claim.result_id]
        raise KeyProviderError(KeyFault.UNAVAILABLE, "the key is being replaced; try again")

    async def delete(self, tenant: str, record_id: UUID, *, by: str) -> bool:
        """Delete a record for good; False when there is none."""
        async with self._database.transaction(tenant) as transaction:
            data_key_id = await store.delete(transaction, tenant, record_id)
            if data_key_id is None:
                return False
            await _count(transaction, tenant, data_key_id, -1)
            event = NewEvent(
                EventType.RECORD_DELETED, by, tenant, payload={"recordId": str(record_id)}
            )
            await append_about(transaction, self._ledger, event, record_id)
        return True

    async def open(self, record: StoredRecord) -> dict[str, str]:
        """The values of a record, by field name.

        Raises `KeyProviderError`: KEY_DISABLED while the key is suspended, whatever is cached, and
        what the provider says where it has to be asked; `INTEGRITY` for a record that was changed.
        """
        if record.suspended:
            raise KeyProviderError(KeyFault.KEY_DISABLED, "the key is suspended")
        began, misses = time.perf_counter(), self._telemetry.misses
        values = await self._cipher.open(
            record.tenant_id,
            record.data_key_id,
            record.object_type,
            record.record_id,
            record.fields,
        )
        # With the key at hand nothing else runs meanwhile, so nobody else can have missed one.
        cold = self._telemetry.misses != misses
        self._telemetry.decrypted(time.perf_counter() - began, cold=cold)
        self._activity.note(record.tenant_id, record.object_type, Activity.DECRYPT)
        return values

    async def _sealed(
        self, tenant: str, record_id: UUID, wanted: NewRecord, data_key: StoredDataKey
    ) -> StoredRecord:
        fields = await self._cipher.seal(
            tenant, data_key.data_key_id, wanted.object_type, record_id, dict(wanted.fields)
        )
        now = datetime.now(UTC)
        return StoredRecord(
            tenant_id=tenant,
            record_id=record_id,
            external_id=wanted.external_id,
            object_type=wanted.object_type,
            data_key_id=data_key.data_key_id,
            key_version=data_key.key_version,
            row_version=1,
            fields=fields,
            created_at=now,
            updated_at=now,
        )

    @staticmethod
    async def _write(transaction: Transaction, sealed: StoredRecord, *, replace: bool) -> None:
        tenant = sealed.tenant_id
        if not replace:
            await store.insert(transaction, tenant, sealed)
            await _count(transaction, tenant, sealed.data_key_id, 1)
            return
        standing = await store.lock(transaction, tenant, sealed.record_id)
        if standing is None:
            message = "there is no such record; leave the id out to store a new one"
            raise InvalidRecord(message, ("input", "id"), ErrorCode.UNKNOWN_OBJECT)
        object_type, data_key_id = standing
        if object_type != sealed.object_type:
            message = f"the record is of the type {object_type}, which never changes"
            raise InvalidRecord(message, ("input", "objectType"))
        await store.replace(transaction, tenant, sealed)
        if data_key_id != sealed.data_key_id:
            for counted, change in sorted(((data_key_id, -1), (sealed.data_key_id, 1))):
                await _count(transaction, tenant, counted, change)


def _request(wanted: NewRecord) -> bytes:
    return idempotency.canonical(
        {
            "id": None if wanted.record_id is None else str(wanted.record_id),
            "externalId": wanted.external_id,
            "objectType": wanted.object_type,
            "fields": dict(wanted.fields),
        }
    )


async def _count(transaction: Transaction, tenant: str, data_key_id: UUID, change: int) -> None:
    shard = randrange(COUNTER_SHARDS)  # noqa: S311 - spreads writers, hides nothing
    await data_key_store.count(transaction, tenant, data_key_id, shard, change)
