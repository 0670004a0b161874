"""Customer-managed keys over HTTP: attaching, suspending, versions, jobs, destruction."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from subgraph.db import ids
from subgraph.db.ids import IdKind
from subgraph.db.service import Database
from subgraph.keys.jobs.model import KeyJobState
from subgraph.settings import Settings
from tests.conftest import Api
from tests.integration.datasets import DIGEST, register_tenant
from tests.integration.keys import ADA, APPROVERS, KEY_URI, Caller, worker

Finish = Callable[[str], Awaitable[KeyJobState]]

VERSIONS = "cmk { versions { nodes { id number state recordsRemaining } } }"


@pytest.fixture
async def stranger(api: Api) -> Caller:
    """Somebody of a tenant without a key."""
    return Caller(api, await register_tenant(api))


@pytest.fixture
async def owner(stranger: Caller) -> Caller:
    """Somebody of a tenant with a key."""
    assert (await stranger.attach(once="first"))["userErrors"] == []
    return stranger


@pytest.fixture(scope="module")
async def finish(settings: Settings, database: Database) -> AsyncIterator[Finish]:
    async with worker(settings, database) as run:
        yield run


async def versions(owner: Caller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await owner.of_tenant(VERSIONS))["cmk"]["versions"]["nodes"]
    return found


async def rotated(owner: Caller, finish: Finish) -> None:
    job = (await owner.plan("rotateKey"))["job"]
    assert await finish(job["id"]) is KeyJobState.DONE


def turn_at_provider(settings: Settings, owner: Caller, state: str) -> None:
    """What the key's owner does at the provider: ENABLED or DISABLED."""
    path = settings.data_path / "local-keys" / owner.tenant / KEY_URI.partition(":")[2]
    path.write_text(json.dumps({**json.loads(path.read_text()), "state": state}))


def code_of(payload: dict[str, Any]) -> str:
    (error,) = payload["userErrors"]
    return str(error["code"])


# --- attaching


async def test_tenant_has_no_key_until_one_is_attached(stranger: Caller) -> None:
    assert await stranger.of_tenant("cmk { id }") == {"cmk": None}


async def test_attached_key_is_active_under_its_first_version(stranger: Caller) -> None:
    key = (await stranger.attach())["key"]
    version = key["currentVersion"]
    assert (key["provider"], key["keyUri"], key["state"]) == ("LOCAL", KEY_URI, "ACTIVE")
    assert (version["number"], version["state"]) == (1, "ACTIVE")


async def test_bound_of_a_revocation_is_the_hard_limit(owner: Caller, settings: Settings) -> None:
    found = await owner.of_tenant("cmk { revocationBoundSeconds }")
    assert found["cmk"]["revocationBoundSeconds"] == settings.key_hard_seconds


@pytest.mark.parametrize("once", ["first", "second"])
async def test_attaching_the_attached_key_changes_nothing(owner: Caller, once: str) -> None:
    before = await owner.of_tenant("cmk { id lastRotatedAt events { nodes { id } } }")
    await owner.attach(once=once)
    assert await owner.of_tenant("cmk { id lastRotatedAt events { nodes { id } } }") == before


async def test_same_idempotency_key_for_another_key_conflicts(owner: Caller) -> None:
    payload = await owner.attach("local:other", once="first")
    assert (payload["key"], code_of(payload)) == (None, "IDEMPOTENCY_CONFLICT")


async def test_another_key_takes_the_place_of_the_one_before(owner: Caller) -> None:
    key = (await owner.attach("local:other"))["key"]
    assert (key["keyUri"], key["currentVersion"]["number"]) == ("local:other", 2)


async def test_data_keys_follow_to_another_key(owner: Caller, finish: Finish) -> None:
    record = await owner.stored()
    await owner.attach("local:other")
    (job,) = (await owner.of_tenant("keyJobs { nodes { id kind } }"))["keyJobs"]["nodes"]
    assert (job["kind"], await finish(job["id"])) == ("REWRAP", KeyJobState.DONE)
    found = await owner.of_tenant(f'record(id: "{record}") {{ keyVersion {{ number }} }}')
    assert found["record"]["keyVersion"]["number"] == 2


@pytest.mark.parametrize(
    ("provider", "uri"),
    [
        ("AWS_KMS", "x"), ("GCP_KMS", "x"), ("AZURE_KEY_VAULT", "x"), ("PKCS11", "x"),
        ("OPENBAO", "x"), ("LOCAL", "local:../main"),
    ],
)  # fmt: skip
async def test_key_that_cannot_be_used_names_provider_and_reason(
    stranger: Caller, provider: str, uri: str
) -> None:
    payload = await stranger.attach(uri, provider=provider)
    (error,) = payload["userErrors"]
    found = (error["__typename"], error["code"], error["provider"], error["retryable"])
    assert (payload["key"], found) == (None, ("KeyUnavailable", "KEY_UNUSABLE", provider, False))


async def test_key_that_bears_another_tenants_name_is_invalid(stranger: Caller) -> None:
    payload = await stranger.attach("openbao:transit/somebody", provider="OPENBAO")
    (error,) = payload["userErrors"]
    assert (error["__typename"], error["code"]) == ("InvalidInput", "INVALID_INPUT")


async def test_refused_key_leaves_the_tenant_without_one(stranger: Caller) -> None:
    await stranger.attach("x", provider="AWS_KMS")
    assert await stranger.of_tenant("cmk { id }") == {"cmk": None}


# --- suspending


async def test_suspension_shows_on_the_key(owner: Caller) -> None:
    assert (await owner.suspend())["key"]["state"] == "SUSPENDED"


async def test_resumption_shows_on_the_key(owner: Caller) -> None:
    await owner.suspend()
    assert (await owner.resume())["key"]["state"] == "ACTIVE"


async def test_key_tells_what_happened_to_it(owner: Caller) -> None:
    await owner.suspend()
    await owner.suspend()
    await owner.resume()
    found = await owner.of_tenant("cmk { events { nodes { type } } }")
    told = [event["type"] for event in found["cmk"]["events"]["nodes"]]
    assert told == ["key.attached", "key.version.activated", "key.suspended", "key.resumed"]


@pytest.mark.parametrize("mutation", ["suspendKey", "resumeKey"])
async def test_without_a_key_nothing_is_turned(stranger: Caller, mutation: str) -> None:
    turn = stranger.suspend if mutation == "suspendKey" else stranger.resume
    assert code_of(await turn()) == "KEY_NOT_FOUND"


# --- jobs


async def test_rotation_is_planned_for_a_worker(owner: Caller) -> None:
    job = (await owner.plan("rotateKey"))["job"]
    progress = {"total": "0", "done": "0", "percent": None, "pollAfterSeconds": 2}
    assert (job["kind"], job["state"], job["progress"]) == ("ROTATE", "PLANNED", progress)


async def test_planned_job_reads_as_it_was_answered(owner: Caller) -> None:
    fields = "id createdAt updatedAt state throttlePerSecond"
    answer = await owner.ask(
        "mutation($tenant: ID!) { rotateKey(tenantId: $tenant, idempotencyKey: "
        f'"once") {{ job {{ {fields} }} }} }}',
        tenant=owner.tenant,
    )
    planned = answer["data"]["rotateKey"]["job"]
    found = await owner.of_tenant(f"keyJobs {{ nodes {{ {fields} }} }}")
    assert found["keyJobs"]["nodes"] == [planned]


async def test_rotation_makes_a_version_and_retires_the_one_before(
    owner: Caller, finish: Finish
) -> None:
    await owner.stored()
    await rotated(owner, finish)
    found = [(item["number"], item["state"], item["recordsRemaining"]) for item in
             await versions(owner)]  # fmt: skip
    assert found == [(2, "ACTIVE", "1"), (1, "DISABLED", "0")]


async def test_reencryption_keeps_what_it_was_asked_for(owner: Caller) -> None:
    payload = await owner.plan("reencryptRecords", objectType="person", throttlePerSecond=5)
    found = (payload["job"]["kind"], payload["job"]["throttlePerSecond"])
    assert found == ("REENCRYPT", 5)


async def test_reencrypted_record_reads_as_before(owner: Caller, finish: Finish) -> None:
    record = await owner.stored()
    job = (await owner.plan("reencryptRecords"))["job"]
    assert await finish(job["id"]) is KeyJobState.DONE
    found = await owner.of_tenant(f'record(id: "{record}") {{ fields {{ name value }} }}')
    assert found["record"]["fields"] == [{"name": "name", "value": ADA["name"]}]


@pytest.mark.parametrize("mutation", ["rotateKey", "rewrapKey", "reencryptRecords"])
async def test_repeated_plan_is_the_job_of_then(owner: Caller, mutation: str) -> None:
    first = await owner.plan(mutation, once="once")
    assert await owner.plan(mutation, once="once") == first


async def test_same_idempotency_key_for_another_plan_conflicts(owner: Caller) -> None:
    await owner.plan("rewrapKey", once="once")
    payload = await owner.plan("rewrapKey", once="once", throttlePerSecond=5)
    assert code_of(payload) == "IDEMPOTENCY_CONFLICT"


async def test_one_job_at_a_time(owner: Caller) -> None:
    await owner.plan("rotateKey")
    assert code_of(await owner.plan("rewrapKey")) == "JOB_IN_FLIGHT"


async def test_without_a_key_nothing_is_planned(stranger: Caller) -> None:
    assert code_of(await stranger.plan("rotateKey")) == "KEY_NOT_FOUND"


async def test_paused_job_goes_on_and_is_cancelled(owner: Caller) -> None:
    job = (await owner.plan("rotateKey"))["job"]["id"]
    turns = ("pauseKeyJob", "resumeKeyJob", "cancelKeyJob")
    states = [(await owner.turn_job(turn, job))["job"]["state"] for turn in turns]
    assert states == ["PAUSED", "PLANNED", "CANCELLED"]


@pytest.mark.parametrize("mutation", ["pauseKeyJob", "resumeKeyJob"])
async def test_ended_job_is_not_turned(owner: Caller, mutation: str) -> None:
    job = (await owner.plan("rotateKey"))["job"]["id"]
    await owner.turn_job("cancelKeyJob", job)
    payload = await owner.turn_job(mutation, job)
    assert (payload["job"], code_of(payload)) == (None, "JOB_ENDED")


@pytest.mark.parametrize("mutation", ["pauseKeyJob", "resumeKeyJob", "cancelKeyJob"])
async def test_unknown_job_of_the_own_tenant_is_not_turned(owner: Caller, mutation: str) -> None:
    made_up = ids.encode(IdKind.KEY_JOB, owner.tenant, uuid4())
    assert code_of(await owner.turn_job(mutation, made_up)) == "UNKNOWN_OBJECT"


async def test_blocked_job_says_what_the_provider_said(
    owner: Caller, finish: Finish, settings: Settings
) -> None:
    job = (await owner.plan("rotateKey"))["job"]["id"]
    turn_at_provider(settings, owner, "DISABLED")
    assert await finish(job) is KeyJobState.BLOCKED
    answer = await owner.ask(
        "query($id: ID!) { keyJob(id: $id) { state blockedReason { code }"
        " progress { pollAfterSeconds } } }",
        id=job,
    )
    reason = {"blockedReason": {"code": "KEY_DISABLED"}, "progress": {"pollAfterSeconds": 30}}
    assert answer == {"data": {"keyJob": {"state": "BLOCKED", **reason}}}


async def test_job_tells_what_happened_to_it(owner: Caller) -> None:
    job = (await owner.plan("rotateKey"))["job"]["id"]
    await owner.turn_job("cancelKeyJob", job)
    answer = await owner.ask(
        "query($id: ID!) { keyJob(id: $id) { events { nodes { type } } } }", id=job
    )
    told = [event["type"] for event in answer["data"]["keyJob"]["events"]["nodes"]]
    assert told == ["key.job.planned", "key.job.cancelled"]


# --- destruction


async def test_version_in_use_is_not_destroyed(owner: Caller) -> None:
    (version,) = await versions(owner)
    payload = await owner.request_destruction(version["id"])
    assert (payload["destruction"], code_of(payload)) == (None, "KEY_IN_USE")


@pytest.fixture
async def retired(owner: Caller, finish: Finish) -> str:
    """The id of a version that nothing depends on."""
    await owner.stored()
    await rotated(owner, finish)
    return str((await versions(owner))[1]["id"])


async def test_one_approval_destroys_nothing(owner: Caller, retired: str) -> None:
    made = (await owner.request_destruction(retired))["destruction"]
    approver = owner.named(APPROVERS[0])
    once = (await approver.approve_destruction(made["id"], made["requestDigest"]))["destruction"]
    assert (once["state"], once["keyVersion"]["state"]) == ("REQUESTED", "DISABLED")


async def test_second_approval_destroys(owner: Caller, retired: str) -> None:
    made = (await owner.request_destruction(retired))["destruction"]
    for subject in APPROVERS:
        approver = owner.named(subject)
        done = await approver.approve_destruction(made["id"], made["requestDigest"])
    found = done["destruction"]
    assert [item["approver"] for item in found["approvals"]] == list(APPROVERS)
    assert (found["state"], found["keyVersion"]["state"]) == ("APPLIED", "DESTROYED")


async def test_records_outlive_the_destruction_of_a_retired_version(
    owner: Caller, retired: str
) -> None:
    record = await owner.stored()
    made = (await owner.request_destruction(retired))["destruction"]
    for subject in APPROVERS:
        await owner.named(subject).approve_destruction(made["id"], made["requestDigest"])
    found = await owner.of_tenant(f'record(id: "{record}") {{ fields {{ value }} }}')
    assert found["record"]["fields"] == [{"value": ADA["name"]}]


async def test_requester_does_not_approve_the_own_destruction(owner: Caller, retired: str) -> None:
    made = (await owner.request_destruction(retired))["destruction"]
    payload = await owner.approve_destruction(made["id"], made["requestDigest"])
    assert code_of(payload) == "APPROVER_NOT_DISTINCT"


async def test_approval_of_something_else_destroys_nothing(owner: Caller, retired: str) -> None:
    made = (await owner.request_destruction(retired))["destruction"]
    payload = await owner.named(APPROVERS[0]).approve_destruction(made["id"], DIGEST)
    assert code_of(payload) == "APPROVAL_DIGEST_MISMATCH"


async def test_repeated_request_is_the_one_of_then(owner: Caller, retired: str) -> None:
    first = await owner.request_destruction(retired, once="once")
    assert await owner.request_destruction(retired, once="once") == first


@pytest.mark.parametrize("mutation", ["suspendKey", "resumeKey"])
async def test_a_blank_reason_is_refused_at_its_place(owner: Caller, mutation: str) -> None:
    answer = await owner.ask(
        f'mutation($tenant: ID!) {{ {mutation}(tenantId: $tenant, reason: " ")'
        " { userErrors { code field } } }",
        tenant=owner.tenant,
    )
    refused = answer["data"][mutation]["userErrors"]
    assert refused == [{"code": "INVALID_INPUT", "field": ["reason"]}]


async def test_a_key_of_another_name_is_refused_at_its_place(stranger: Caller) -> None:
    answer = await stranger.ask(
        'mutation($tenant: ID!) { attachKey(tenantId: $tenant, idempotencyKey: "x", input:'
        ' {provider: OPENBAO, keyUri: "openbao:transit/somebody"}) { userErrors { code field } } }',
        tenant=stranger.tenant,
    )
    refused = answer["data"]["attachKey"]["userErrors"]
    assert refused == [{"code": "INVALID_INPUT", "field": ["input", "keyUri"]}]
