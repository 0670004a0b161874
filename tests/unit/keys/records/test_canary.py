"""A value that was put and read is nowhere but in the answer, whatever fails."""

import base64
import hashlib
import logging
import secrets
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from uuid import UUID

import pytest

from subgraph.db.roles import Role
from subgraph.errors import SubgraphError
from subgraph.keys.records.model import NewRecord
from subgraph.keys.records.store import records
from subgraph.kms.faults import KeyFault
from subgraph.telemetry.logs import JsonFormatter
from tests.unit.keys.jobs.rig import Process
from tests.unit.keys.owner import Owner

EVERY_TABLE = (
    "SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables"
    " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"
)


class Trail:
    """Everything that leaves traces behind while a test runs."""

    def __init__(self) -> None:
        self.spans: list[str] = []
        self.errors: list[str] = []

    def span(self, name: str) -> AbstractContextManager[object]:
        @contextmanager
        def noted() -> Iterator[None]:
            self.spans.append(name)
            yield

        return noted()

    def failed(self, error: Exception) -> None:
        shown = traceback.TracebackException.from_exception(error, capture_locals=False)
        details = getattr(error, "details", "")
        self.errors.append("".join(shown.format()) + repr(error) + str(details))


def spellings(value: str) -> set[str]:
    """The value as it would look in a dump: plain, hexadecimal, base64, or confirmed by a digest."""
    raw = value.encode()
    found = {value, raw.hex(), value.encode("utf-16-le").hex(), hashlib.sha256(raw).hexdigest()}
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + raw).decode()
        found.add(encoded[4 if offset else 0 : len(encoded) // 4 * 4 - 4])
    return found | {text.encode().hex() for text in found}


async def dump(process: Process) -> str:
    """All rows of all tables; bytes are in hexadecimal."""
    tables = await process.ask(EVERY_TABLE)
    rows = []
    for table in tables:
        rows += await process.scratch.ask(
            f"SELECT t::text AS line FROM {table['name']} t", role=Role.ADMIN
        )
    return "\n".join(row["line"] for row in rows)


async def put(process: Process, tenant: str, canary: str, record_id: UUID | None = None) -> UUID:
    wanted = NewRecord("person", (("secret", canary),), "crm-7", record_id)
    stored = await process.keys.records.put(
        tenant, wanted, idempotency_key=secrets.token_hex(4), by="ann"
    )
    return stored.record_id


async def opened(process: Process, tenant: str, record: UUID) -> dict[str, str]:
    stored = await records(process.database, [(tenant, record)])
    return await process.keys.records.open(stored[tenant, record])


async def test_the_value_is_nowhere(
    here: Process, there: Process, owner: Owner, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    trail, canary = Trail(), f"CANARY-{secrets.token_hex(16)}"
    for process in (here, there):
        process.database._span = trail.span
    tenant = await here.make_tenant()
    record = await put(here, tenant, canary)
    assert await opened(there, tenant, record) == {"secret": canary}

    async def failing(call: object) -> None:
        with pytest.raises(SubgraphError) as caught:
            await call  # type: ignore[misc]
        trail.failed(caught.value)

    for fault in KeyFault:
        owner.faults = {"unwrap": fault, "wrap": fault}
        for process in (here, there):
            process.keys.keyring.purge(tenant, KeyFault.UNAVAILABLE)
        await failing(opened(there, tenant, record))
        await failing(put(here, tenant, canary))
        owner.faults = {}
        for process in (here, there):
            # Ends the pause after a denial as well.
            process.keys.keyring.purge(tenant, KeyFault.KEY_DISABLED)
            process.keys.keyring.admit(tenant)
    await put(here, tenant, canary, record)
    await failing(put(here, tenant, canary + "x" * 70_000))
    await failing(put(here, tenant, canary + "\ud800"))
    await failing(put(here, tenant, canary, UUID(int=1)))
    await here.damage(tenant, record)
    await failing(opened(here, tenant, record))
    await here.keys.custody.suspend(tenant, "an incident", by="ann")
    await failing(put(here, tenant, canary))
    await here.keys.activity.flush()

    logged = "\n".join(JsonFormatter().format(line) for line in caplog.records) + caplog.text
    traces = {
        "tables": await dump(here),
        "logs": logged,
        "spans": "\n".join(trail.spans),
        "errors": "\n".join(trail.errors),
    }
    assert all(traces.values())
    assert "crm-7" in traces["tables"]
    assert [
        (place, text) for place, text in traces.items() for one in spellings(canary) if one in text
    ] == []


async def test_a_value_that_is_there_would_be_found(here: Process) -> None:
    tenant, canary = await here.make_tenant(), f"CANARY-{secrets.token_hex(16)}"
    for kept in (canary.encode(), b"x" + base64.b64encode(b"ab" + canary.encode())):
        await here.ask(
            "INSERT INTO idempotency (tenant_id, operation, key, request_digest, result_id)"
            " VALUES ($1, 'x', $2, $3, gen_random_uuid())",
            tenant,
            secrets.token_hex(4),
            kept,
        )
    text = await dump(here)
    assert len([one for one in spellings(canary) if one in text]) == 2
