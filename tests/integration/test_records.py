"""Protected records over HTTP: written, read, replaced, deleted, and listed."""

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
from tests.integration.datasets import register_tenant
from tests.integration.keys import ADA, PERSON, Caller

SECRET = "Mrs. Smith, 0049 221 555"
VALUES = "id fields { name value }"


@pytest.fixture
async def stranger(api: Api) -> Caller:
    """Somebody of a tenant without a key."""
    return Caller(api, await register_tenant(api))


@pytest.fixture
async def owner(stranger: Caller) -> Caller:
    """Somebody of a tenant with a key."""
    assert (await stranger.attach())["userErrors"] == []
    return stranger


def error_of(payload: dict[str, Any]) -> tuple[str, list[str] | None]:
    (error,) = payload["userErrors"]
    return error["code"], error["field"]


async def read(caller: Caller, record: str) -> dict[str, Any]:
    """The whole answer to a reading of a record."""
    return await caller.ask(
        "query($tenant: ID!, $id: ID!) { tenant(id: $tenant) { record(id: $id)"
        f" {{ {VALUES} }} }} }}",
        tenant=caller.tenant,
        id=record,
    )


def value(answer: dict[str, Any]) -> object:
    (found,) = answer["data"]["tenant"]["record"]["fields"]
    return found["value"]


# --- writing


async def test_stored_record_is_answered_with_its_values(owner: Caller) -> None:
    fields = {"name": "Ada", "email": "ada@example.org"}
    record = (await owner.put(fields, externalId="a-1"))["record"]
    assert (record["externalId"], record["objectType"]) == ("a-1", PERSON)
    assert {item["name"]: item["value"] for item in record["fields"]} == fields


@pytest.mark.parametrize("text", ["", " ", "\U0001f512 Straße\u0301", "x" * 60_000, "a\r\nb\tc"])
async def test_value_reads_as_it_was_written(owner: Caller, text: str) -> None:
    record = await owner.stored({"name": text})
    assert value(await read(owner, record)) == text


async def test_stored_value_is_nowhere_in_the_database(
    owner: Caller, postgres: EmbeddedServer
) -> None:
    record = ids.decode(IdKind.PROTECTED_RECORD, await owner.stored({"name": SECRET}))
    assert record is not None
    async with operator_transaction(postgres.url(Role.ADMIN)) as transaction:
        row = await transaction.row(
            "SELECT position($2::bytea IN fields) AS at FROM protected_record WHERE record_id = $1",
            record.key,
            SECRET.encode(),
        )
    assert row is not None
    assert row["at"] == 0


async def test_repeat_is_the_record_of_then(owner: Caller) -> None:
    first = await owner.put(once="once")
    assert await owner.put(once="once") == first


async def test_same_idempotency_key_for_other_values_conflicts(owner: Caller) -> None:
    await owner.put(once="once")
    payload = await owner.put({"name": SECRET}, once="once")
    assert (payload["record"], error_of(payload)) == (None, ("IDEMPOTENCY_CONFLICT", None))


async def test_replaced_record_has_the_new_fields_only(owner: Caller) -> None:
    record = await owner.stored(externalId="old")
    payload = await owner.put({"email": "x"}, id=record)
    found = payload["record"]
    assert (found["id"], found["externalId"]) == (record, None)
    assert found["fields"] == [{"name": "email", "value": "x"}]


async def test_replacement_moves_the_second_time_only(owner: Caller) -> None:
    first = (await owner.put())["record"]
    second = (await owner.put(id=first["id"]))["record"]
    assert second["createdAt"] == first["createdAt"] < second["updatedAt"]


async def test_replacement_of_a_record_that_is_not_there(owner: Caller) -> None:
    made_up = ids.encode(IdKind.PROTECTED_RECORD, owner.tenant, uuid4())
    assert error_of(await owner.put(id=made_up)) == ("UNKNOWN_OBJECT", ["input", "id"])


async def test_replacement_of_another_tenants_record_is_refused_like_that(
    api: Api, owner: Caller
) -> None:
    other = Caller(api, await register_tenant(api))
    await other.attach()
    made_up = ids.encode(IdKind.PROTECTED_RECORD, owner.tenant, uuid4())
    foreign = await other.stored()
    assert await owner.put(id=foreign) == await owner.put(id=made_up)


async def test_type_of_a_record_never_changes(owner: Caller) -> None:
    record = await owner.stored()
    payload = await owner.put(id=record, objectType="order")
    assert error_of(payload) == ("INVALID_INPUT", ["input", "objectType"])


BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "no type": ({"objectType": ""}, ["input", "objectType"]),
    "an odd type": ({"objectType": "1 person"}, ["input", "objectType"]),
    "an external id of line breaks": ({"externalId": "\n"}, ["input", "externalId"]),
    "a long external id": ({"externalId": "x" * 201}, ["input", "externalId"]),
    "no fields": ({"fields": []}, ["input", "fields"]),
    "too many fields": (
        {"fields": [{"name": str(n), "value": "x"} for n in range(201)]},
        ["input", "fields"],
    ),
    "a field without a name": (
        {"fields": [{"name": "", "value": SECRET}]},
        ["input", "fields", "0", "name"],
    ),
    "a field twice": (
        {"fields": [{"name": name, "value": SECRET} for name in ("a", "b", "b")]},
        ["input", "fields", "1", "name"],
    ),
    "a name that is not normalised": (
        {"fields": [{"name": "e\u0301", "value": SECRET}]},
        ["input", "fields", "0", "name"],
    ),
}


@pytest.mark.parametrize(("change", "path"), BAD.values(), ids=BAD)
async def test_bad_record_names_the_field_and_no_value(
    owner: Caller, change: dict[str, Any], path: list[str]
) -> None:
    payload = await owner.put(**change)
    assert (payload["record"], error_of(payload)) == (None, ("INVALID_INPUT", path))
    assert SECRET not in json.dumps(payload)


async def test_tenant_without_a_key_stores_nothing(stranger: Caller) -> None:
    assert error_of(await stranger.put()) == ("KEY_NOT_FOUND", None)


async def test_unusable_key_is_named_with_its_provider(
    owner: Caller, postgres: EmbeddedServer
) -> None:
    async with operator_transaction(postgres.url(Role.ADMIN)) as transaction:
        await transaction.run(
            "UPDATE tenant_cmk SET provider = 'AWS_KMS', key_uri = 'x' WHERE tenant_id = $1",
            owner.tenant,
        )
    (error,) = (await owner.put())["userErrors"]
    assert (error["__typename"], error["provider"]) == ("KeyUnavailable", "AWS_KMS")


# --- deleting

DELETE = "mutation($id: ID!) { deleteRecord(id: $id) { deletedId userErrors { code } } }"


async def test_deleted_record_is_gone(owner: Caller) -> None:
    record = await owner.stored()
    answer = await owner.ask(DELETE, id=record)
    assert answer == {"data": {"deleteRecord": {"deletedId": record, "userErrors": []}}}
    assert (await read(owner, record))["data"] == {"tenant": {"record": None}}


async def test_second_deletion_deletes_nothing(owner: Caller) -> None:
    record = await owner.stored()
    await owner.ask(DELETE, id=record)
    answer = await owner.ask(DELETE, id=record)
    assert answer == {"data": {"deleteRecord": {"deletedId": None, "userErrors": []}}}


# --- suspension


async def test_suspension_takes_the_values_at_once(owner: Caller) -> None:
    record = await owner.stored()
    assert value(await read(owner, record)) == ADA["name"]
    await owner.suspend()
    answer = await read(owner, record)
    (error,) = answer["errors"]
    assert (value(answer), error["extensions"]["code"]) == (None, "KEY_DISABLED")
    assert error["path"] == ["tenant", "record", "fields", 0, "value"]


async def test_suspension_leaves_the_rest_of_the_record(owner: Caller) -> None:
    record = await owner.stored()
    await owner.suspend()
    found = await owner.of_tenant(f'record(id: "{record}") {{ id objectType fields {{ name }} }}')
    assert found["record"] == {"id": record, "objectType": PERSON, "fields": [{"name": "name"}]}


async def test_resumption_gives_the_values_back(owner: Caller) -> None:
    record = await owner.stored()
    await owner.suspend()
    await read(owner, record)
    await owner.resume()
    assert value(await read(owner, record)) == ADA["name"]


async def test_suspended_key_stores_nothing(owner: Caller) -> None:
    await owner.stored()
    await owner.suspend()
    (error,) = (await owner.put({"name": SECRET}))["userErrors"]
    found = (error["__typename"], error["code"], error["provider"], error["retryable"])
    assert found == ("KeyUnavailable", "KEY_DISABLED", "LOCAL", False)


async def test_changed_record_is_refused_without_its_values(
    owner: Caller, postgres: EmbeddedServer
) -> None:
    record = await owner.stored({"name": SECRET})
    named = ids.decode(IdKind.PROTECTED_RECORD, record)
    assert named is not None
    async with operator_transaction(postgres.url(Role.ADMIN)) as transaction:
        await transaction.run(
            "UPDATE protected_record SET fields = set_byte(fields, length(fields) - 1,"
            " get_byte(fields, length(fields) - 1) # 1) WHERE record_id = $1",
            named.key,
        )
    answer = await read(owner, record)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["INTEGRITY"]
    assert SECRET not in json.dumps(answer)


# --- reading


async def test_field_that_a_record_has_not_is_null(owner: Caller) -> None:
    record = await owner.stored()
    found = await owner.of_tenant(f'record(id: "{record}") {{ field(name: "x") {{ value }} }}')
    assert found == {"record": {"field": None}}


async def test_reader_without_the_scope_to_decrypt_sees_names_only(api: Api, owner: Caller) -> None:
    record = await owner.stored()
    answer = await api.ask(
        f'{{ tenant(id: "{owner.tenant}") {{ record(id: "{record}") {{ {VALUES} }} }} }}',
        token=api.mint(owner.tenant, "records:read"),
    )
    assert answer["data"]["tenant"]["record"]["fields"] == [{"name": "name", "value": None}]
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


async def test_writer_that_may_not_read_learns_only_whether_it_succeeded(
    api: Api, owner: Caller
) -> None:
    answer = await api.ask(
        f'mutation {{ putRecord(tenantId: "{owner.tenant}", idempotencyKey: "x", input: {{'
        ' objectType: "person", fields: [{ name: "name", value: "Ada" }] })'
        " { record { id } userErrors { code } } }",
        token=api.mint(owner.tenant, "records:write"),
    )
    assert answer["data"] == {"putRecord": {"record": None, "userErrors": []}}
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


@pytest.mark.parametrize(
    "fields",
    [
        [{"name": "name", "value": {"secret": SECRET}}],
        [{"name": "name", "value": [SECRET]}],
        [{"name": "name", "value": 4711_0815}],
        [{"value": SECRET}],
        [{"name": "name", "value": SECRET, "unknown": SECRET}],
        SECRET,
    ],
)
async def test_an_input_of_another_kind_is_refused_without_being_told(
    owner: Caller, fields: object
) -> None:
    answer = await owner.ask(
        "mutation($tenant: ID!, $input: PutRecordInput!) { putRecord(tenantId: $tenant,"
        ' input: $input, idempotencyKey: "x") { record { id } } }',
        tenant=owner.tenant,
        input={"objectType": PERSON, "fields": fields},
    )
    told = json.dumps(answer)
    assert {error["extensions"]["code"] for error in answer["errors"]} == {"BAD_USER_INPUT"}
    assert not any(text in told for text in (SECRET, "47110815"))


@pytest.mark.parametrize("literal", ["47110815", '["47110815"]', '{secret: "47110815"}'])
async def test_a_literal_of_another_kind_is_refused_without_being_told(
    owner: Caller, literal: str
) -> None:
    answer = await owner.ask(
        f'mutation {{ putRecord(tenantId: "{owner.tenant}", idempotencyKey: "x", input:'
        f' {{objectType: "person", fields: [{{name: "name", value: {literal}}}]}})'
        " { record { id } } }"
    )
    codes = {error["extensions"]["code"] for error in answer["errors"]}
    assert codes == {"GRAPHQL_VALIDATION_FAILED"}
    assert "47110815" not in json.dumps(answer)
