"""The SQL of jobs: their rows, their slices and their quarantine."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from subgraph.db.binding import tenant_read, tenant_read_many
from subgraph.db.service import Database, Row, Transaction
from subgraph.keys.jobs.model import KeyJob, KeyJobKind, KeyJobState, Quarantined

_JOB = (
    "tenant_id, job_id, kind, state, object_type, throttle_per_second, total, done, superseded,"
    " quarantined, source, cursor, empty_sweeps, epoch, attempt, rows_per_second, blocked_code,"
    " blocked_message, created_at, updated_at"
)
_NIL = UUID(int=0)

_JOBS = tenant_read_many(
    f"SELECT {_JOB} FROM key_job WHERE tenant_id = bound.tenant AND job_id = ANY (asked.keys)",
    key_type="uuid",
)
_JOB_PAGE = tenant_read(
    f"SELECT {_JOB} FROM key_job WHERE tenant_id = bound.tenant"
    " AND ($2::timestamptz IS NULL OR (created_at, job_id) < ($2, $3))"
    " AND ($4::text IS NULL OR state = $4)"
    " ORDER BY created_at DESC, job_id DESC LIMIT $5"
)
_QUARANTINE_PAGE = tenant_read(
    "SELECT tenant_id, job_id, record_id, code, at FROM key_job_quarantine"
    " WHERE tenant_id = bound.tenant AND job_id = $2 AND record_id > $3"
    " ORDER BY record_id LIMIT $4"
)
_BATCH = tenant_read(
    "SELECT record_id, row_version, object_type, fields FROM protected_record"
    " WHERE tenant_id = bound.tenant AND data_key_id = $2 AND record_id > $3"
    " ORDER BY record_id LIMIT $4"
)


async def jobs(
    database: Database, keys: Sequence[tuple[str, UUID]]
) -> dict[tuple[str, UUID], KeyJob]:
    """Jobs by tenant and id; one statement."""
    rows = await database.read_many(_JOBS, keys)
    return {(row["tenant_id"], row["job_id"]): _job(row) for row in rows}


async def job_page(
    database: Database,
    tenant: str,
    *,
    first: int,
    after: tuple[datetime, UUID] | None,
    state: KeyJobState | None,
) -> list[KeyJob]:
    """Jobs of a tenant, newest first."""
    rows = await database.read(
        _JOB_PAGE,
        tenant,
        *(after or (None, _NIL)),
        None if state is None else state.value,
        first,
    )
    return [_job(row) for row in rows]


async def quarantine_page(
    database: Database, tenant: str, job_id: UUID, *, first: int, after: UUID | None
) -> list[Quarantined]:
    """Records that a job left as they were, in the order of their ids."""
    rows = await database.read(_QUARANTINE_PAGE, tenant, job_id, after or _NIL, first)
    return [
        Quarantined(row["tenant_id"], row["job_id"], row["record_id"], row["code"], row["at"])
        for row in rows
    ]


async def batch(
    database: Database, tenant: str, source: UUID, *, after: UUID | None, limit: int
) -> list[Row]:
    """Records under the data key `source`: record_id, row_version, object_type, fields."""
    return await database.read(_BATCH, tenant, source, after or _NIL, limit)


async def insert(transaction: Transaction, tenant: str, job: KeyJob, *, by: str) -> bool:
    """Plan a job; False while another one of the tenant is in flight."""
    row = await transaction.row(
        "INSERT INTO key_job (tenant_id, job_id, kind, state, object_type, throttle_per_second,"
        " total, done, superseded, quarantined, empty_sweeps, epoch, attempt, created_by)"
        " VALUES ($1, $2, $3, 'PLANNED', $4, $5, 0, 0, 0, 0, 0, 0, 0, $6)"
        " ON CONFLICT (tenant_id) WHERE state NOT IN ('DONE', 'CANCELLED') DO NOTHING"
        " RETURNING job_id",
        tenant,
        job.job_id,
        job.kind.value,
        job.object_type,
        job.throttle_per_second,
        by,
    )
    return row is not None


async def in_flight(transaction: Transaction, tenant: str) -> KeyJob | None:
    """The job of the tenant that has not ended."""
    row = await transaction.row(
        f"SELECT {_JOB} FROM key_job WHERE tenant_id = $1 AND state NOT IN ('DONE', 'CANCELLED')",
        tenant,
    )
    return _job(row) if row else None


async def lock(transaction: Transaction, tenant: str, job_id: UUID) -> KeyJob | None:
    """A job, held until the transaction ends."""
    row = await transaction.row(
        f"SELECT {_JOB} FROM key_job WHERE tenant_id = $1 AND job_id = $2 FOR UPDATE",
        tenant,
        job_id,
    )
    return _job(row) if row else None


async def claim(transaction: Transaction, tenant: str, job_id: UUID, epoch: int) -> KeyJob | None:
    """Take the slice `epoch` of a job that may run; None when it is not due (any more).

    Whoever claimed it before can commit nothing from here on.
    """
    row = await transaction.row(
        "UPDATE key_job SET attempt = attempt + 1, updated_at = now()"
        " WHERE tenant_id = $1 AND job_id = $2 AND epoch = $3"
        " AND state IN ('PLANNED', 'RUNNING', 'VERIFYING', 'BLOCKED')"
        f" RETURNING {_JOB}",
        tenant,
        job_id,
        epoch,
    )
    return _job(row) if row else None


async def fenced(transaction: Transaction, tenant: str, job: KeyJob) -> KeyJob | None:
    """Hold the job if the claim still stands and nobody paused it; None otherwise."""
    row = await transaction.row(
        f"SELECT {_JOB} FROM key_job WHERE tenant_id = $1 AND job_id = $2"
        " AND epoch = $3 AND attempt = $4"
        " AND state IN ('PLANNED', 'RUNNING', 'VERIFYING', 'BLOCKED') FOR UPDATE",
        tenant,
        job.job_id,
        job.epoch,
        job.attempt,
    )
    return _job(row) if row else None


async def save(transaction: Transaction, tenant: str, job: KeyJob) -> None:
    """Write back a job that is held."""
    await transaction.run(
        "UPDATE key_job SET state = $3, total = $4, done = $5, superseded = $6, quarantined = $7,"
        " source = $8, cursor = $9, empty_sweeps = $10, epoch = $11, rows_per_second = $12,"
        " blocked_code = $13, blocked_message = $14, updated_at = now()"
        " WHERE tenant_id = $1 AND job_id = $2",
        tenant,
        job.job_id,
        job.state.value,
        job.total,
        job.done,
        job.superseded,
        job.quarantined,
        job.source,
        job.cursor,
        job.empty_sweeps,
        job.epoch,
        job.rows_per_second,
        job.blocked_code,
        job.blocked_message,
    )


async def move(
    transaction: Transaction,
    tenant: str,
    *,
    source: UUID,
    target: UUID,
    rows: Mapping[UUID, tuple[int, bytes]],
) -> int:
    """Give records their new content under `target`; how many nobody else had moved meanwhile.

    `rows` says the row version that each was read at, and its new fields.
    """
    tag = await transaction.run(
        "UPDATE protected_record r SET fields = n.fields, data_key_id = $3,"
        " row_version = r.row_version + 1"
        " FROM unnest($4::uuid[], $5::bigint[], $6::bytea[]) AS n(record_id, row_version, fields)"
        " WHERE r.tenant_id = $1 AND r.record_id = n.record_id"
        " AND r.row_version = n.row_version AND r.data_key_id = $2",
        tenant,
        source,
        target,
        list(rows),
        [row_version for row_version, _ in rows.values()],
        [fields for _, fields in rows.values()],
    )
    return int(tag.split()[-1])


async def quarantine(
    transaction: Transaction, tenant: str, job_id: UUID, codes: Mapping[UUID, str]
) -> int:
    """List records that cannot be decrypted; how many were not listed yet."""
    tag = await transaction.run(
        "INSERT INTO key_job_quarantine (tenant_id, job_id, record_id, code)"
        " SELECT $1, $2, record_id, code FROM unnest($3::uuid[], $4::text[]) AS q(record_id, code)"
        " ON CONFLICT DO NOTHING",
        tenant,
        job_id,
        list(codes),
        list(codes.values()),
    )
    return int(tag.split()[-1])


async def any_left(
    transaction: Transaction, tenant: str, job_id: UUID, sources: Sequence[UUID]
) -> bool:
    """Whether a data key still encrypts a record; those in the job's quarantine are left out.

    By the records themselves, not by a counter; it ends at the first one.
    """
    row = await transaction.row(
        "SELECT FROM protected_record r"
        " WHERE r.tenant_id = $1 AND r.data_key_id = ANY ($3::uuid[]) AND NOT EXISTS ("
        "  SELECT FROM key_job_quarantine q WHERE q.tenant_id = $1 AND q.job_id = $2"
        "  AND q.record_id = r.record_id) LIMIT 1",
        tenant,
        job_id,
        list(sources),
    )
    return row is not None


async def counted_under(transaction: Transaction, tenant: str, sources: Sequence[UUID]) -> int:
    """How many records the data keys encrypt, by their counters."""
    row = await transaction.row(
        "SELECT coalesce(sum(records), 0)::bigint AS records FROM data_key_count"
        " WHERE tenant_id = $1 AND data_key_id = ANY ($2::uuid[])",
        tenant,
        list(sources),
    )
    assert row is not None
    return int(row["records"])


async def sample(
    transaction: Transaction, tenant: str, data_key_id: UUID, *, limit: int
) -> list[Row]:
    """Some records under a data key: ids are random, so those behind a random one are too."""
    return await transaction.rows(
        "WITH start AS MATERIALIZED (SELECT gen_random_uuid() AS id)"
        " (SELECT record_id, object_type, fields FROM protected_record"
        "   WHERE tenant_id = $1 AND data_key_id = $2 AND record_id >= (SELECT id FROM start)"
        "   ORDER BY record_id LIMIT $3)"
        " UNION ALL"
        " (SELECT record_id, object_type, fields FROM protected_record"
        "   WHERE tenant_id = $1 AND data_key_id = $2 AND record_id < (SELECT id FROM start)"
        "   ORDER BY record_id LIMIT $3) LIMIT $3",
        tenant,
        data_key_id,
        limit,
    )


async def stalled(transaction: Transaction, *, seconds: float, limit: int) -> list[KeyJob]:
    """Jobs of any tenant that should go on and have not moved for so long, oldest first.

    The transaction is the system role's.
    """
    rows = await transaction.rows(
        f"SELECT {_JOB} FROM key_job WHERE state IN ('PLANNED', 'RUNNING', 'VERIFYING', 'BLOCKED')"
        " AND updated_at < now() - make_interval(secs => $1) ORDER BY updated_at LIMIT $2",
        seconds,
        limit,
    )
    return [_job(row) for row in rows]


async def rotations_due(transaction: Transaction, *, limit: int) -> list[tuple[str, str]]:
    """Tenants whose scheduled rotation is due, and a name for this one on this day.

    Those with a job in flight are left out. The transaction is the system role's.
    """
    rows = await transaction.rows(
        "SELECT k.tenant_id,"
        " extract(epoch FROM k.last_rotated_at)::bigint || ' ' || current_date AS name"
        " FROM tenant_cmk k WHERE k.state = 'ACTIVE'"
        " AND k.last_rotated_at + make_interval(days => k.rotate_every_days) <= now()"
        " AND NOT EXISTS (SELECT FROM key_job j WHERE j.tenant_id = k.tenant_id"
        "  AND j.state NOT IN ('DONE', 'CANCELLED'))"
        " ORDER BY k.last_rotated_at LIMIT $1",
        limit,
    )
    return [(row["tenant_id"], row["name"]) for row in rows]


async def tenants_with_keys(transaction: Transaction, *, after: str, limit: int) -> list[str]:
    """Tenants behind `after`, by id, whose keys are not suspended, with no job in flight.

    The transaction is the system role's.
    """
    rows = await transaction.rows(
        "SELECT k.tenant_id FROM tenant_cmk k WHERE k.state = 'ACTIVE' AND k.tenant_id > $1"
        " AND NOT EXISTS (SELECT FROM key_job j WHERE j.tenant_id = k.tenant_id"
        "  AND j.state NOT IN ('DONE', 'CANCELLED'))"
        " ORDER BY k.tenant_id LIMIT $2",
        after,
        limit,
    )
    return [row["tenant_id"] for row in rows]


def _job(row: Row) -> KeyJob:
    return KeyJob(
        tenant_id=row["tenant_id"],
        job_id=row["job_id"],
        kind=KeyJobKind(row["kind"]),
        state=KeyJobState(row["state"]),
        object_type=row["object_type"],
        throttle_per_second=row["throttle_per_second"],
        total=row["total"],
        done=row["done"],
        superseded=row["superseded"],
        quarantined=row["quarantined"],
        source=row["source"],
        cursor=row["cursor"],
        empty_sweeps=row["empty_sweeps"],
        epoch=row["epoch"],
        attempt=row["attempt"],
        rows_per_second=row["rows_per_second"],
        blocked_code=row["blocked_code"],
        blocked_message=row["blocked_message"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
    )
