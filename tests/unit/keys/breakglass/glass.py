"""Break-glass on a real database, with a database clock that tests can set ahead."""

import secrets
from typing import Any
from uuid import UUID

from subgraph.db.roles import Role
from subgraph.keys.breakglass.model import (
    BreakGlassReason,
    BreakGlassRequest,
    NewBreakGlass,
    Place,
    Scope,
)
from subgraph.keys.breakglass.service import BreakGlassService
from subgraph.ledger.entry import Entry
from tests.unit.approvals.control import Control

RECORDS = (UUID(int=1), UUID(int=2))
FIELDS = ("email", "name")
PLACE = Place("customer", RECORDS[0], "email")
OTHER = Place("customer", RECORDS[1], "name")


def wanted(**changes: Any) -> NewBreakGlass:
    given: dict[str, Any] = {
        "reason_code": BreakGlassReason.INCIDENT,
        "justification": "Mrs. Smith cannot be reached.",
        "scope": Scope("customer", RECORDS, FIELDS),
        "duration_minutes": 30,
        **changes,
    }
    return NewBreakGlass(**given)


class Glass:
    """One process, one tenant."""

    def __init__(self, dual: Control, tenant: str) -> None:
        self.dual = dual
        self.tenant = tenant
        process = dual.process
        self.service = BreakGlassService(
            process.database, process.ledger, dual.approvals, now=dual.time
        )

    async def request(self, **changes: Any) -> BreakGlassRequest:
        key = changes.pop("idempotency_key", secrets.token_hex(8))
        return await self.service.request(
            self.tenant, wanted(**changes), by="ann", idempotency_key=key
        )

    async def approved(self, **changes: Any) -> BreakGlassRequest:
        made = await self.request(**changes)
        for approver in ("ben", "cleo"):
            made = await self.service.approve(
                self.tenant,
                made.request_id,
                digest=made.approval.digest,
                approver=approver,
                token_id=f"t-{approver}",
            )
        return made

    async def open(self, made: BreakGlassRequest, **changes: str) -> BreakGlassRequest:
        given = {"by": "ann", "token_id": "t-ann", "idempotency_key": "k", **changes}
        return await self.service.open(self.tenant, made.request_id, **given)

    async def opened(self, **changes: Any) -> BreakGlassRequest:
        return await self.open(await self.approved(**changes))

    async def read(
        self, made: BreakGlassRequest, *places: Place, by: str = "ann"
    ) -> dict[Place, str]:
        return await self.service.authorise_reads(
            self.tenant, made.request_id, places or (PLACE,), by=by
        )

    async def shown(self, made: BreakGlassRequest) -> BreakGlassRequest:
        key = (self.tenant, made.request_id)
        return (await self.service.load_many([key]))[key]

    async def told(self, kind: str) -> list[Entry]:
        return [entry for entry in await self.dual.events(self.tenant) if entry.type == kind]

    async def about(self, subject: UUID) -> list[str]:
        rows = await self.dual.process.ask(
            "SELECT e.type FROM ledger_subject s JOIN ledger_event e USING (tenant_id, index)"
            " WHERE s.tenant_id = $1 AND s.subject_id = $2 ORDER BY s.index",
            self.tenant,
            subject,
            role=Role.ADMIN,
        )
        return [row["type"] for row in rows]
