"""A tenant that has one of everything, for the tests of who may read what."""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from subgraph.db import ids
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.ids import IdKind
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.policy.scopes import Scope
from subgraph.settings import Settings
from tests.conftest import Api
from tests.integration.datasets import (
    DIGEST,
    REGION,
    first_events,
    provision_source,
    register_dataset,
    register_tenant,
)
from tests.integration.keys import APPROVERS, JUSTIFICATION, REQUESTER, Caller, worker
from tests.integration.questions import AUTHENTICATED, SERVED, asked, questions
from tests.integration.releases import Spender

CLIENT = {"apollographql-client-name": "tests", "x-request-id": "0" * 16}
QUESTIONS = list(questions(SERVED))
GUARDED = [(coordinate, operation) for coordinate, operation in QUESTIONS if asked(operation)]
PUBLIC = [(coordinate, operation) for coordinate, operation in QUESTIONS if not asked(operation)]
SCOPED = [
    (coordinate, operation, scope)
    for coordinate, operation in QUESTIONS
    for scope in sorted(asked(operation) - {AUTHENTICATED})
]
KINDS = {
    "dataset": IdKind.DATASET,
    "event": IdKind.LEDGER_EVENT,
    "key": IdKind.CUSTOMER_KEY,
    "version": IdKind.KEY_VERSION,
    "retired": IdKind.KEY_VERSION,
    "destruction": IdKind.KEY_DESTRUCTION,
    "job": IdKind.KEY_JOB,
    "ended": IdKind.KEY_JOB,
    "record": IdKind.PROTECTED_RECORD,
    "spare": IdKind.PROTECTED_RECORD,
    "glass": IdKind.BREAK_GLASS,
    "pending": IdKind.BREAK_GLASS,
    "withdrawn": IdKind.BREAK_GLASS,
    "refused": IdKind.BREAK_GLASS,
    "budget": IdKind.PRIVACY_BUDGET,
    "spend": IdKind.DP_SPEND,
    "override": IdKind.BUDGET_OVERRIDE,
}
OF_TENANT = [
    (coordinate, operation)
    for coordinate, operation in QUESTIONS
    if any(f"${name}" in operation for name in ("tenant", *KINDS))
]


@dataclass(frozen=True)
class World:
    """Two tenants, what one of them has by the names of `KINDS`, and ids that nobody has."""

    tenant: str
    source: str
    other: str
    unknown: str
    new: str
    objects: Mapping[str, str]

    def fill(self, operation: str, **names: str) -> str:
        """The operation with its names replaced."""
        known = {
            **self.objects,
            "tenant": self.tenant,
            "source": self.source,
            "new": self.new,
            "region": REGION,
            "digest": DIGEST,
            "why": JUSTIFICATION,
        }
        for name, value in {**known, **names}.items():
            operation = operation.replace(f'"${name}"', f'"{value}"')
        assert "$" not in operation
        return operation

    def made_up(self) -> dict[str, str]:
        """Names of a tenant that does not exist, and of what it does not have."""
        objects = {name: ids.encode(kind, self.unknown, uuid4()) for name, kind in KINDS.items()}
        return {"tenant": self.unknown, **objects}


async def build(
    api: Api, postgres: EmbeddedServer, settings: Settings, database: Database
) -> World:
    """The world; whoever has the subject of `Api.mint` made the requests."""
    tenant, other = await register_tenant(api), await register_tenant(api)
    source = await provision_source(postgres, tenant)
    dataset = await register_dataset(api, tenant, source)
    (event,) = await first_events(api, tenant, 1)
    objects = {
        "dataset": dataset,
        "event": event,
        **await _custody(api, tenant, settings, database),
        **await _budget(Spender(api, tenant, dataset)),
    }
    await _quarantine(postgres, objects["ended"], objects["record"])
    unknown, new = (f"t-{secrets.token_hex(8)}" for _ in range(2))
    return World(tenant, source, other, unknown, new, objects)


async def _budget(owner: Spender) -> dict[str, str]:
    await owner.set_policy("1000")
    released = await owner.released("count { spend { id } }")
    requested = await owner.request_override("1")
    return {
        "budget": (await owner.budget("id"))["id"],
        "spend": released["count"]["spend"]["id"],
        "override": requested["override"]["id"],
    }


async def _custody(api: Api, tenant: str, settings: Settings, database: Database) -> dict[str, str]:
    caller = Caller(api, tenant, REQUESTER)
    attached = (await caller.attach(once="attach"))["key"]
    record = (await caller.put({"name": "Ada"}, once="record", externalId="ada"))["record"]
    spare = await caller.stored()
    rotated = (await caller.plan("rotateKey"))["job"]
    async with worker(settings, database) as finish:
        await finish(rotated["id"])
    found = await caller.of_tenant("cmk { currentVersion { id } }")
    retired = attached["currentVersion"]["id"]
    destruction = (await caller.request_destruction(retired, once="destruction"))["destruction"]
    await caller.named(APPROVERS[0]).approve_destruction(
        destruction["id"], destruction["requestDigest"]
    )
    job = (await caller.plan("reencryptRecords", once="job", throttlePerSecond=100))["job"]
    pending = (await caller.request_glass([record["id"]], once="pending"))["request"]
    withdrawn = (await caller.request_glass([record["id"]]))["request"]
    refused = (await caller.request_glass([record["id"]]))["request"]
    await caller.named(APPROVERS[0]).do(
        "rejectBreakGlass", "$id: ID!, $reason: String!", "", id=refused["id"], reason="No."
    )
    glass = await caller.granted([record["id"]])
    await caller.do(
        "openBreakGlass", "$id: ID!, $idempotencyKey: String!", "", id=glass, idempotencyKey="open"
    )
    return {
        "key": attached["id"],
        "version": found["cmk"]["currentVersion"]["id"],
        "retired": retired,
        "destruction": destruction["id"],
        "job": job["id"],
        "ended": rotated["id"],
        "record": record["id"],
        "spare": spare,
        "glass": glass,
        "pending": pending["id"],
        "withdrawn": withdrawn["id"],
        "refused": refused["id"],
    }


async def _quarantine(postgres: EmbeddedServer, job: str, record: str) -> None:
    named, kept = ids.decode(IdKind.KEY_JOB, job), ids.decode(IdKind.PROTECTED_RECORD, record)
    assert named is not None
    assert kept is not None
    async with operator_transaction(postgres.url(Role.ADMIN)) as transaction:
        await transaction.run(
            "INSERT INTO key_job_quarantine (tenant_id, job_id, record_id, code)"
            " VALUES ($1, $2, $3, 'INTEGRITY')",
            named.tenant,
            named.key,
            kept.key,
        )


def codes(answer: dict[str, Any]) -> set[str]:
    """The codes of the errors of an answer."""
    return {error["extensions"]["code"] for error in answer.get("errors", [])}


def values(data: object) -> Iterator[object]:
    """Everything that an answer says, apart from its structure."""
    if isinstance(data, dict):
        for name, item in data.items():
            if name != "__typename":
                yield from values(item)
    elif isinstance(data, list):
        for item in data:
            yield from values(item)
    elif data is not None:
        yield data


def token_for(api: Api, world: World, scopes: frozenset[str]) -> str:
    """A token with these scopes, of the platform where one of them is the platform's."""
    named = scopes - {AUTHENTICATED}
    if Scope.LEDGER_DEPLOYMENT in named:
        named |= {Scope.PLATFORM_ANY}
    platform = any(scope.startswith("platform:") for scope in named)
    return api.mint(None if platform else world.tenant, *sorted(named))
