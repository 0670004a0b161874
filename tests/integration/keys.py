"""Keys, records, jobs and requests for the tests, made over HTTP as clients make them."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from subgraph.db import ids
from subgraph.db.ids import IdKind
from subgraph.db.service import Database
from subgraph.keys.jobs import store
from subgraph.keys.jobs.model import KeyJobState
from subgraph.keys.jobs.runner import JobRunner, Pace
from subgraph.keys.runtime import KeysRuntime, enqueue_slice
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.settings import Settings
from tests.conftest import Api

KEY_URI = "local:main"
PERSON = "person"
ADA = {"name": "Ada Lovelace"}
REQUESTER = "test-subject"
APPROVERS = ("first-approver", "second-approver")
JUSTIFICATION = "The customer cannot be reached."
ERRORS = (
    "userErrors { __typename code message field ... on KeyUnavailable { provider retryable }"
    " ... on DualControlRequired { approvalsNeeded } }"
)
KEY = "key { id provider keyUri state revocationBoundSeconds currentVersion { id number state } }"
JOB = "job { id kind state throttlePerSecond progress { total done percent pollAfterSeconds } }"
RECORD = "record { id externalId objectType createdAt updatedAt fields { name value } }"
REQUEST = (
    "request { id state requestedBy requestDigest approvalsNeeded watermark"
    " approvals { approver signature { keyId } } rejection { by reason } }"
)
DESTRUCTION = (
    "destruction { id state requestDigest approvalsNeeded approvals { approver }"
    " keyVersion { id state } }"
)
FINAL = (KeyJobState.DONE, KeyJobState.CANCELLED, KeyJobState.PAUSED, KeyJobState.BLOCKED)

KEY_SCOPES = ("keys:read", "keys:write")
RECORD_SCOPES = ("records:read", "records:write", "records:decrypt")
GLASS_SCOPES = ("breakglass:read", "breakglass:request", "breakglass:approve")


@dataclass(frozen=True)
class Caller:
    """Somebody of a tenant with the scopes for keys, records and requests."""

    api: Api
    tenant: str
    subject: str = REQUESTER

    @property
    def token(self) -> str:
        """A token with every scope that these objects ask for."""
        scopes = (*KEY_SCOPES, *RECORD_SCOPES, *GLASS_SCOPES)
        more = ("keys:destroy", "keys:approve", "ledger:read")
        return self.api.mint(self.tenant, *scopes, *more, subject=self.subject)

    def named(self, subject: str) -> "Caller":
        """Somebody else of the tenant."""
        return Caller(self.api, self.tenant, subject)

    async def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole answer."""
        return await self.api.ask(query, token=self.token, variables=variables)

    async def do(self, mutation: str, arguments: str, selection: str, **values: Any) -> Any:
        """The payload of one mutation; `arguments` declares the variables that it is given."""
        given = ", ".join(f"{name}: ${name}" for name in values)
        answer = await self.ask(
            f"mutation({arguments}) {{ {mutation}({given}) {{ {selection} {ERRORS} }} }}", **values
        )
        assert "errors" not in answer, answer
        return answer["data"][mutation]

    async def of_tenant(self, selection: str) -> Any:
        """What the tenant answers."""
        answer = await self.ask(
            f"query($tenant: ID!) {{ tenant(id: $tenant) {{ {selection} }} }}", tenant=self.tenant
        )
        assert "errors" not in answer, answer
        return answer["data"]["tenant"]

    async def attach(
        self, key_uri: str = KEY_URI, *, provider: str = "LOCAL", once: str | None = None
    ) -> Any:
        """The payload of `attachKey`."""
        return await self.do(
            "attachKey",
            "$tenantId: ID!, $input: AttachKeyInput!, $idempotencyKey: String!",
            KEY,
            tenantId=self.tenant,
            input={"provider": provider, "keyUri": key_uri},
            idempotencyKey=once or secrets.token_hex(8),
        )

    async def suspend(self) -> Any:
        """The payload of `suspendKey`."""
        return await self._turn("suspendKey")

    async def resume(self) -> Any:
        """The payload of `resumeKey`."""
        return await self._turn("resumeKey")

    async def _turn(self, mutation: str) -> Any:
        arguments = "$tenantId: ID!, $reason: String!"
        return await self.do(mutation, arguments, KEY, tenantId=self.tenant, reason="A test.")

    async def put(
        self,
        values: Mapping[str, str] = ADA,
        *,
        once: str | None = None,
        **wanted: Any,
    ) -> Any:
        """The payload of `putRecord`."""
        listed = [{"name": name, "value": value} for name, value in values.items()]
        return await self.do(
            "putRecord",
            "$tenantId: ID!, $input: PutRecordInput!, $idempotencyKey: String!",
            RECORD,
            tenantId=self.tenant,
            input={"objectType": PERSON, "fields": listed, **wanted},
            idempotencyKey=once or secrets.token_hex(8),
        )

    async def stored(self, values: Mapping[str, str] = ADA, **wanted: Any) -> str:
        """The id of a record that is stored now."""
        payload = await self.put(values, **wanted)
        assert payload["userErrors"] == []
        return str(payload["record"]["id"])

    async def plan(self, mutation: str, *, once: str | None = None, **wanted: Any) -> Any:
        """The payload of a mutation that plans a job."""
        declared = {"objectType": "String", "throttlePerSecond": "Int"}
        more = "".join(f", ${name}: {declared[name]}" for name in wanted)
        return await self.do(
            mutation,
            f"$tenantId: ID!, $idempotencyKey: String!{more}",
            JOB,
            tenantId=self.tenant,
            idempotencyKey=once or secrets.token_hex(8),
            **wanted,
        )

    async def turn_job(self, mutation: str, job: str) -> Any:
        """The payload of a mutation on a job."""
        return await self.do(mutation, "$id: ID!", JOB, id=job)

    async def request_destruction(self, version: str, *, once: str | None = None) -> Any:
        """The payload of `requestKeyDestruction`."""
        return await self.do(
            "requestKeyDestruction",
            "$keyVersionId: ID!, $reason: String!, $idempotencyKey: String!",
            DESTRUCTION,
            keyVersionId=version,
            reason=JUSTIFICATION,
            idempotencyKey=once or secrets.token_hex(8),
        )

    async def approve_destruction(self, request: str, digest: str) -> Any:
        """The payload of `approveKeyDestruction`."""
        arguments = "$id: ID!, $requestDigest: Digest!"
        return await self.do(
            "approveKeyDestruction", arguments, DESTRUCTION, id=request, requestDigest=digest
        )

    async def request_glass(
        self,
        records: Sequence[str],
        fields: Sequence[str] = ("name",),
        *,
        once: str | None = None,
        **changes: Any,
    ) -> Any:
        """The payload of `requestBreakGlass`."""
        scope = {"objectType": PERSON, "recordIds": list(records), "fields": list(fields)}
        wanted = {"reasonCode": "INCIDENT", "justification": JUSTIFICATION, "scope": scope}
        return await self.do(
            "requestBreakGlass",
            "$tenantId: ID!, $input: BreakGlassInput!, $idempotencyKey: String!",
            REQUEST,
            tenantId=self.tenant,
            input={**wanted, **changes},
            idempotencyKey=once or secrets.token_hex(8),
        )

    async def approve_glass(self, request: str, digest: str) -> Any:
        """The payload of `approveBreakGlass`."""
        arguments = "$id: ID!, $requestDigest: Digest!"
        return await self.do(
            "approveBreakGlass", arguments, REQUEST, id=request, requestDigest=digest
        )

    async def granted(self, records: Sequence[str], fields: Sequence[str] = ("name",)) -> str:
        """The id of a break-glass request that two others have approved."""
        request = (await self.request_glass(records, fields))["request"]
        for approver in APPROVERS:
            someone = self.named(approver)
            approved = await someone.approve_glass(request["id"], request["requestDigest"])
            assert approved["userErrors"] == []
        return str(request["id"])


@asynccontextmanager
async def worker(
    settings: Settings, database: Database
) -> AsyncIterator[Callable[[str], Awaitable[KeyJobState]]]:
    """Runs jobs, by their public ids, until they wait for something or have ended."""
    recording = LedgerRuntime(settings, database)
    await recording.start()
    keys = KeysRuntime(settings, database, recording)
    runner = JobRunner(
        database,
        recording.ledger,
        keys.custody,
        keys.wrappers,
        keys.cipher,
        enqueue=enqueue_slice,
        pace=Pace(),
    )

    async def finish(job_id: str) -> KeyJobState:
        job = ids.decode(IdKind.KEY_JOB, job_id)
        assert job is not None
        name = (job.tenant, job.key)
        for _ in range(100):
            standing = (await store.jobs(database, [name]))[name]
            if standing.state in FINAL:
                return standing.state
            await runner.run(job.tenant, job.key, standing.epoch)
        raise AssertionError("the job does not end")

    try:
        yield finish
    finally:
        await keys.keyring.close()
        await keys.wrappers.close()
        await recording.close()
