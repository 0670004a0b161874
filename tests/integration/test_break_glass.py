"""Break-glass over HTTP: asked for, approved by two others, opened once, recorded, closed."""

import json
from typing import Any
from uuid import uuid4

import pytest

from subgraph.db import ids
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.ids import IdKind
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from tests.conftest import Api
from tests.integration.datasets import DIGEST, register_tenant
from tests.integration.keys import ADA, APPROVERS, JUSTIFICATION, PERSON, REQUESTER, Caller

OPEN = (
    "mutation($id: ID!, $once: String!, $first: Int! = 20, $after: String) {"
    " openBreakGlass(id: $id, idempotencyKey: $once) { request { id state watermark }"
    " records(first: $first, after: $after) { nodes { id %s }"
    " pageInfo { hasNextPage endCursor } } userErrors { __typename code message field } } }"
)
VALUES = "fields { name value }"
READING = "breakglass.read"


@pytest.fixture
async def caller(api: Api) -> Caller:
    """Somebody of a tenant with a key, who will be the requester."""
    made = Caller(api, await register_tenant(api))
    assert (await made.attach())["userErrors"] == []
    return made


@pytest.fixture
async def record(caller: Caller) -> str:
    return await caller.stored({**ADA, "email": "ada@example.org"})


@pytest.fixture
async def granted(caller: Caller, record: str) -> str:
    """The id of a request for the name in the record that two others have approved."""
    return await caller.granted([record])


def code_of(payload: dict[str, Any]) -> str:
    (error,) = payload["userErrors"]
    return str(error["code"])


async def opened(
    caller: Caller, request: str, selection: str = VALUES, *, once: str = "open", **page: Any
) -> dict[str, Any]:
    """The whole answer of `openBreakGlass`."""
    return await caller.ask(OPEN % selection, id=request, once=once, **page)


def shown(answer: dict[str, Any]) -> dict[str, str | None]:
    """The values of the one record of an answer."""
    (found,) = answer["data"]["openBreakGlass"]["records"]["nodes"]
    return {item["name"]: item["value"] for item in found["fields"]}


def codes(answer: dict[str, Any]) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", [])]


async def told(caller: Caller, request: str) -> list[str]:
    """The types of the request's events."""
    answer = await caller.ask(
        "query($id: ID!) { breakGlassRequest(id: $id) { events(first: 100) { nodes { type } } } }",
        id=request,
    )
    return [item["type"] for item in answer["data"]["breakGlassRequest"]["events"]["nodes"]]


async def state(caller: Caller, request: str) -> str:
    answer = await caller.ask(
        "query($id: ID!) { breakGlassRequest(id: $id) { state } }", id=request
    )
    return str(answer["data"]["breakGlassRequest"]["state"])


def place(record: str) -> object:
    """What records are ordered by."""
    named = ids.decode(IdKind.PROTECTED_RECORD, record)
    assert named is not None
    return named.key


async def close(caller: Caller, request: str) -> dict[str, Any]:
    payload: dict[str, Any] = await caller.do(
        "closeBreakGlass", "$id: ID!", "request { state }", id=request
    )
    return payload


# --- asking


async def test_request_waits_for_two_others(caller: Caller, record: str) -> None:
    made = (await caller.request_glass([record]))["request"]
    found = (made["state"], made["requestedBy"], made["approvalsNeeded"], made["watermark"])
    assert found == ("REQUESTED", REQUESTER, 2, None)


async def test_request_says_what_was_asked(caller: Caller, record: str) -> None:
    made = (await caller.request_glass([record], ["name", "email"]))["request"]
    answer = await caller.ask(
        "query($id: ID!) { breakGlassRequest(id: $id) { reasonCode justification"
        " scope { objectType recordIds fields } tenant { id } } }",
        id=made["id"],
    )
    scope = {"objectType": PERSON, "recordIds": [record], "fields": ["email", "name"]}
    assert answer["data"]["breakGlassRequest"] == {
        "reasonCode": "INCIDENT", "justification": JUSTIFICATION, "scope": scope,
        "tenant": {"id": caller.tenant},
    }  # fmt: skip


async def test_repeated_request_is_the_one_of_then(caller: Caller, record: str) -> None:
    first = await caller.request_glass([record], once="once")
    assert await caller.request_glass([record], once="once") == first


async def test_same_idempotency_key_for_another_request_conflicts(
    caller: Caller, record: str
) -> None:
    await caller.request_glass([record], once="once")
    payload = await caller.request_glass([record], ["email"], once="once")
    assert code_of(payload) == "IDEMPOTENCY_CONFLICT"


BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a short justification": ({"justification": "because"}, ["input", "justification"]),
    "no time": ({"durationMinutes": 0}, ["input", "durationMinutes"]),
    "too much time": ({"durationMinutes": 61}, ["input", "durationMinutes"]),
    "no records": (
        {"scope": {"objectType": PERSON, "recordIds": [], "fields": ["name"]}},
        ["input", "scope", "recordIds"],
    ),
    "no type": (
        {"scope": {"objectType": "", "recordIds": [], "fields": ["name"]}},
        ["input", "scope", "recordIds"],
    ),
}


@pytest.mark.parametrize(("change", "path"), BAD.values(), ids=BAD)
async def test_bad_request_names_the_field(
    caller: Caller, record: str, change: dict[str, Any], path: list[str]
) -> None:
    (error,) = (await caller.request_glass([record], **change))["userErrors"]
    assert (error["code"], error["field"]) == ("INVALID_INPUT", path)


async def test_request_without_fields_names_them(caller: Caller, record: str) -> None:
    (error,) = (await caller.request_glass([record], []))["userErrors"]
    assert error["field"] == ["input", "scope", "fields"]


async def test_record_of_another_tenant_cannot_be_asked_for(api: Api, caller: Caller) -> None:
    foreign = ids.encode(IdKind.PROTECTED_RECORD, await register_tenant(api), uuid4())
    (error,) = (await caller.request_glass([foreign]))["userErrors"]
    assert (error["code"], error["field"]) == ("UNKNOWN_OBJECT", ["input", "scope", "recordIds"])


# --- approving


async def test_requester_does_not_approve(caller: Caller, record: str) -> None:
    made = (await caller.request_glass([record]))["request"]
    payload = await caller.approve_glass(made["id"], made["requestDigest"])
    assert (payload["request"], code_of(payload)) == (None, "APPROVER_NOT_DISTINCT")


async def test_approval_of_another_digest_is_none(caller: Caller, record: str) -> None:
    made = (await caller.request_glass([record]))["request"]
    payload = await caller.named(APPROVERS[0]).approve_glass(made["id"], DIGEST)
    assert (payload["request"], code_of(payload)) == (None, "APPROVAL_DIGEST_MISMATCH")


async def test_same_approver_counts_once(caller: Caller, record: str) -> None:
    made = (await caller.request_glass([record]))["request"]
    approver = caller.named(APPROVERS[0])
    for _ in range(2):
        payload = await approver.approve_glass(made["id"], made["requestDigest"])
    found = payload["request"]
    assert (found["state"], len(found["approvals"])) == ("REQUESTED", 1)


async def test_second_approver_approves(caller: Caller, granted: str) -> None:
    assert await state(caller, granted) == "APPROVED"


@pytest.mark.parametrize("approvals", [0, 1])
async def test_too_few_approvals_open_nothing(caller: Caller, record: str, approvals: int) -> None:
    made = (await caller.request_glass([record]))["request"]
    for subject in APPROVERS[:approvals]:
        await caller.named(subject).approve_glass(made["id"], made["requestDigest"])
    payload = (await opened(caller, made["id"]))["data"]["openBreakGlass"]
    found = (payload["request"], payload["records"], payload["userErrors"][0]["__typename"])
    assert found == (None, None, "DualControlRequired")


async def test_refusal_says_who_and_why(caller: Caller, record: str) -> None:
    made = (await caller.request_glass([record]))["request"]
    payload = await caller.named(APPROVERS[0]).do(
        "rejectBreakGlass",
        "$id: ID!, $reason: String!",
        "request { state rejection { by reason } }",
        id=made["id"],
        reason="Call them.",
    )
    refusal = {"by": APPROVERS[0], "reason": "Call them."}
    assert payload["request"] == {"state": "REJECTED", "rejection": refusal}


async def test_refused_request_opens_nothing(caller: Caller, granted: str) -> None:
    await caller.named(APPROVERS[0]).do(
        "rejectBreakGlass", "$id: ID!, $reason: String!", "", id=granted, reason="Call them."
    )
    payload = (await opened(caller, granted))["data"]["openBreakGlass"]
    assert (payload["records"], code_of(payload)) == (None, "REQUEST_NOT_OPEN")


async def test_refusal_without_a_reason_names_the_argument(caller: Caller, record: str) -> None:
    made = (await caller.request_glass([record]))["request"]
    payload = await caller.named(APPROVERS[0]).do(
        "rejectBreakGlass", "$id: ID!, $reason: String!", "", id=made["id"], reason=" "
    )
    (error,) = payload["userErrors"]
    assert (error["code"], error["field"]) == ("INVALID_INPUT", ["reason"])


async def test_unknown_request_of_the_own_tenant_is_a_user_error(caller: Caller) -> None:
    made_up = ids.encode(IdKind.BREAK_GLASS, caller.tenant, uuid4())
    payload = await caller.named(APPROVERS[0]).approve_glass(made_up, DIGEST)
    assert code_of(payload) == "INVALID_ID"


# --- reading


async def test_value_ends_in_the_watermark_of_the_request(caller: Caller, granted: str) -> None:
    answer = await opened(caller, granted, 'field(name: "name") { value }')
    payload = answer["data"]["openBreakGlass"]
    marker = payload["request"]["watermark"]
    value = payload["records"]["nodes"][0]["field"]["value"]
    assert value.startswith(f"{ADA['name']} {marker}-")
    assert value.endswith("⟧")


async def test_field_beyond_the_scope_stays_closed(caller: Caller, granted: str) -> None:
    answer = await opened(caller, granted)
    values = shown(answer)
    assert (values["email"], codes(answer)) == (None, ["BREAK_GLASS_OUT_OF_SCOPE"])
    assert str(values["name"]).startswith(ADA["name"])
    assert "ada@example.org" not in json.dumps(answer)


async def test_record_is_no_road_round_the_scope(caller: Caller, record: str) -> None:
    await caller.stored()
    answer = await opened(caller, await caller.granted([record]), "id")
    nodes = answer["data"]["openBreakGlass"]["records"]["nodes"]
    assert [item["id"] for item in nodes] == [record]


async def test_each_reading_is_an_event_of_the_request(caller: Caller, granted: str) -> None:
    await opened(caller, granted, 'a: field(name: "name") { value }')
    await opened(caller, granted, 'b: field(name: "name") { value }')
    story = ["approval.requested", *["approval.approved"] * 2, "approval.applied"]
    assert await told(caller, granted) == [*story, "breakglass.opened", READING, READING]


async def test_opening_without_a_reading_is_no_reading(caller: Caller, granted: str) -> None:
    await opened(caller, granted, "fields { name }")
    assert READING not in await told(caller, granted)


async def test_refused_reading_is_no_reading(caller: Caller, granted: str) -> None:
    await opened(caller, granted, 'field(name: "email") { value }')
    assert READING not in await told(caller, granted)


async def test_value_whose_reading_cannot_be_recorded_is_not_shown(
    caller: Caller, granted: str, postgres: EmbeddedServer
) -> None:
    await opened(caller, granted, "id")
    owner = postgres.url(Role.OWNER)
    async with operator_transaction(owner) as transaction:
        await transaction.run("ALTER TABLE ledger_event RENAME TO ledger_event_away")
    try:
        answer = await opened(caller, granted, 'field(name: "name") { value }')
    finally:
        async with operator_transaction(owner) as transaction:
            await transaction.run("ALTER TABLE ledger_event_away RENAME TO ledger_event")
    (node,) = answer["data"]["openBreakGlass"]["records"]["nodes"]
    assert (node["field"]["value"], len(answer["errors"])) == (None, 1)
    assert ADA["name"] not in json.dumps(answer)


async def test_somebody_else_opens_nothing(caller: Caller, granted: str) -> None:
    answer = await opened(caller.named(APPROVERS[0]), granted)
    assert (answer["data"], codes(answer)) == ({"openBreakGlass": None}, ["FORBIDDEN"])


async def test_suspended_key_opens_nothing(caller: Caller, granted: str) -> None:
    await caller.suspend()
    answer = await opened(caller, granted, 'field(name: "name") { value }')
    (node,) = answer["data"]["openBreakGlass"]["records"]["nodes"]
    assert (node["field"]["value"], codes(answer)) == (None, ["KEY_DISABLED"])
    assert READING not in await told(caller, granted)


async def test_repeat_of_the_opening_reads_again(caller: Caller, granted: str) -> None:
    selection = 'field(name: "name") { value }'
    first = await opened(caller, granted, selection)
    assert await opened(caller, granted, selection) == first


async def test_grant_is_used_once(caller: Caller, granted: str) -> None:
    await opened(caller, granted, "id")
    payload = (await opened(caller, granted, once="again"))["data"]["openBreakGlass"]
    assert (payload["records"], code_of(payload)) == (None, "GRANT_CONSUMED")


async def test_reader_of_records_still_needs_the_scope_to_read_them(
    api: Api, caller: Caller, granted: str
) -> None:
    token = api.mint(caller.tenant, "breakglass:request", "breakglass:read", "records:decrypt")
    variables = {"id": granted, "once": "open"}
    answer = await api.ask(OPEN % VALUES, token=token, variables=variables)
    payload = answer["data"]["openBreakGlass"]
    assert (payload["records"], codes(answer)) == (None, ["FORBIDDEN"])
    assert payload["request"]["state"] == "ACTIVE"


async def test_reader_without_the_scope_to_decrypt_reads_nothing(
    api: Api, caller: Caller, granted: str
) -> None:
    token = api.mint(caller.tenant, "breakglass:request", "breakglass:read", "records:read")
    variables = {"id": granted, "once": "open"}
    answer = await api.ask(OPEN % VALUES, token=token, variables=variables)
    assert (set(shown(answer).values()), READING in await told(caller, granted)) == ({None}, False)


# --- the end


async def test_closed_session_shows_nothing_more(caller: Caller, granted: str) -> None:
    await opened(caller, granted)
    assert (await close(caller, granted))["request"]["state"] == "CLOSED"
    payload = (await opened(caller, granted))["data"]["openBreakGlass"]
    assert (payload["records"], code_of(payload)) == (None, "GRANT_CONSUMED")


async def test_end_is_the_last_event(caller: Caller, granted: str) -> None:
    await opened(caller, granted, "id")
    await close(caller, granted)
    await close(caller, granted)
    assert (await told(caller, granted))[-2:] == ["breakglass.opened", "breakglass.closed"]


async def test_requester_withdraws_what_is_not_open(caller: Caller, granted: str) -> None:
    assert (await close(caller, granted))["request"]["state"] == "CANCELLED"


async def test_others_withdraw_nothing(caller: Caller, granted: str) -> None:
    answer = await caller.named(APPROVERS[0]).ask(
        "mutation($id: ID!) { closeBreakGlass(id: $id) { request { state } } }", id=granted
    )
    assert (answer["data"], codes(answer)) == ({"closeBreakGlass": None}, ["FORBIDDEN"])


# --- pages


async def test_pages_hold_every_record_of_the_scope_that_is_left(caller: Caller) -> None:
    records = sorted([await caller.stored() for _ in range(5)], key=place)
    request = await caller.granted(records)
    for gone in (records[0], records[3]):
        await caller.ask("mutation($id: ID!) { deleteRecord(id: $id) { deletedId } }", id=gone)
    found, after, more = [], None, True
    while more:
        answer = await opened(caller, request, "__typename", first=1, after=after)
        page = answer["data"]["openBreakGlass"]["records"]
        found += [item["id"] for item in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert found == [records[1], records[2], records[4]]
