"""Registrations through the API, on a real database."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from subgraph.db import ids
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.ids import IdKind
from subgraph.db.operator import operator_transaction
from subgraph.db.roles import Role
from tests.conftest import Api
from tests.integration.datasets import (
    REGION,
    REGISTER_DATASET,
    REGISTER_TENANT,
    dataset_input,
    provision_source,
    register_tenant,
    tenant_input,
)

OTHER_REGION = "aws:us-east-1"
RegisterTenant = Callable[..., Awaitable[dict[str, Any]]]
RegisterDataset = Callable[..., Awaitable[dict[str, Any]]]


def reason(payload: dict[str, Any]) -> tuple[str, list[str]]:
    """The code and the field of the only error."""
    (error,) = payload["userErrors"]
    return error["code"], error["field"]


async def asked(api: Api, query: str, token: str, **variables: object) -> dict[str, Any]:
    answer = await api.ask(query, token=token, variables=variables)
    assert "errors" not in answer
    ((payload,),) = [list(answer["data"].values())]
    return dict(payload)


@pytest.fixture
def register(api: Api) -> RegisterTenant:
    """Registers a tenant; answers the payload."""
    token = api.mint(None, "platform:tenants")

    async def call(identity: str, **changes: object) -> dict[str, Any]:
        wanted = tenant_input(identity, **changes)
        return await asked(api, REGISTER_TENANT, token, input=wanted)

    return call


@pytest.fixture
async def source(api: Api, postgres: EmbeddedServer, tenant_id: str) -> str:
    """A source of the tenant `tenant_id`, who is registered."""
    return await provision_source(postgres, await register_tenant(api, tenant_id))


@pytest.fixture
def describe(api: Api, tenant_id: str, source: str) -> RegisterDataset:
    """Registers a data set of the tenant; answers the payload."""
    token = api.mint(tenant_id, "datasets:read", "datasets:write")

    async def call(**changes: object) -> dict[str, Any]:
        wanted = {**dataset_input(source), **changes}
        return await asked(api, REGISTER_DATASET, token, tenant=tenant_id, input=wanted)

    return call


# --- tenants


async def test_registered_tenant_is_answered(register: RegisterTenant, tenant_id: str) -> None:
    payload = await register(tenant_id, allowedRegions=[OTHER_REGION, REGION, OTHER_REGION])
    assert payload == {
        "tenant": {
            "id": tenant_id,
            "name": "Test",
            "homeRegion": {"code": REGION},
            "allowedRegions": [{"code": REGION}, {"code": OTHER_REGION}],
        },
        "userErrors": [],
    }


async def test_registered_tenant_is_read_back_the_same(
    api: Api, register: RegisterTenant, tenant_id: str
) -> None:
    payload = await register(tenant_id, name="\u05e9\u05dc\u05d5\u05dd \U0001f512")
    read = await api.ask(
        "query($id: ID!) { tenant(id: $id)"
        " { id name homeRegion { code } allowedRegions { code } } }",
        token=api.mint(tenant_id),
        variables={"id": tenant_id},
    )
    assert read["data"]["tenant"] == payload["tenant"]


@pytest.mark.parametrize(
    "allowed", [[REGION, OTHER_REGION], [OTHER_REGION, REGION], [REGION, OTHER_REGION, REGION]]
)
async def test_equal_registration_answers_what_stands(
    register: RegisterTenant, tenant_id: str, allowed: list[str]
) -> None:
    first = await register(tenant_id, allowedRegions=[REGION, OTHER_REGION])
    assert await register(tenant_id, allowedRegions=allowed) == first


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Other"},
        {"name": "test"},
        {"allowedRegions": [REGION, OTHER_REGION]},
        {"homeRegion": OTHER_REGION, "allowedRegions": [OTHER_REGION]},
    ],
)
async def test_id_of_a_tenant_with_other_data_is_taken(
    register: RegisterTenant, tenant_id: str, change: dict[str, object]
) -> None:
    await register(tenant_id)
    payload = await register(tenant_id, **change)
    found = (payload["tenant"], reason(payload))
    assert found == (None, ("ALREADY_EXISTS", ["input", "id"]))


async def test_refusal_changes_nothing(api: Api, register: RegisterTenant, tenant_id: str) -> None:
    await register(tenant_id)
    await register(tenant_id, name="Other")
    read = await api.ask("{ caller { tenant { name } } }", token=api.mint(tenant_id))
    assert read["data"]["caller"]["tenant"] == {"name": "Test"}


async def test_broken_rule_is_answered_with_its_field(register: RegisterTenant) -> None:
    payload = await register("Acme")
    error = payload["userErrors"][0]
    assert (error["__typename"], reason(payload)) == (
        "InvalidInput",
        ("INVALID_INPUT", ["input", "id"]),
    )


async def test_equal_registrations_at_once_agree(register: RegisterTenant, tenant_id: str) -> None:
    payloads = await asyncio.gather(*(register(tenant_id) for _ in range(8)))
    assert [payload["tenant"]["id"] for payload in payloads] == [tenant_id] * 8


async def test_of_different_registrations_at_once_one_wins(
    register: RegisterTenant, tenant_id: str
) -> None:
    names = [f"Name {number}" for number in range(8)]
    payloads = await asyncio.gather(*(register(tenant_id, name=name) for name in names))
    outcomes = Counter(
        reason(payload)[0] if payload["userErrors"] else "registered" for payload in payloads
    )
    assert outcomes == {"registered": 1, "ALREADY_EXISTS": 7}


async def test_winner_is_the_one_that_was_told_so(
    api: Api, register: RegisterTenant, tenant_id: str
) -> None:
    names = [f"Name {number}" for number in range(8)]
    payloads = await asyncio.gather(*(register(tenant_id, name=name) for name in names))
    (told,) = [payload["tenant"]["name"] for payload in payloads if payload["tenant"]]
    read = await api.ask("{ caller { tenant { name } } }", token=api.mint(tenant_id))
    assert read["data"]["caller"]["tenant"]["name"] == told


# --- data sets


async def test_registered_data_set_is_answered(describe: RegisterDataset) -> None:
    payload = await describe(license="mit or apache-2.0")
    dataset = payload["dataset"]
    assert (dataset["slug"], dataset["license"], dataset["version"], dataset["columns"]) == (
        "visits",
        "MIT OR Apache-2.0",
        "1",
        [{"name": "age", "kind": "NUMBER", "lower": 0.0, "upper": 120.0, "values": None}],
    )


COLUMNS = [
    {"name": "spend", "kind": "NUMBER", "lower": -1.7976931348623157e308, "upper": 5e-324},
    {"name": "age", "kind": "NUMBER", "lower": -0.0, "upper": 0.1},
    {"name": "ward", "kind": "CATEGORY", "values": ["\u05d0", "\U0001f512", "a'\"\\b", "NULL"]},
    {"name": "seen", "kind": "TIMESTAMP", "lower": None, "upper": None},
    {"name": "person", "kind": "NUMBER", "lower": -(2**53), "upper": 2**53},
]


@pytest.mark.parametrize("column", COLUMNS, ids=[column["name"] for column in COLUMNS])
async def test_column_is_read_back_as_it_was_registered(
    api: Api, describe: RegisterDataset, tenant_id: str, column: dict[str, Any]
) -> None:
    payload = await describe(columns=[column])
    read = await api.ask(
        "query($t: ID!, $d: ID!) { tenant(id: $t) { dataset(id: $d)"
        " { columns { name kind lower upper values } } } }",
        token=api.mint(tenant_id, "datasets:read"),
        variables={"t": tenant_id, "d": payload["dataset"]["id"]},
    )
    expected = {"lower": None, "upper": None, "values": None, **column}
    assert read["data"]["tenant"]["dataset"]["columns"] == [expected]


@pytest.mark.parametrize("column", COLUMNS, ids=[column["name"] for column in COLUMNS])
async def test_equal_data_set_answers_what_stands(
    describe: RegisterDataset, column: dict[str, Any]
) -> None:
    first = await describe(columns=[column], license="mit")
    assert await describe(columns=[column], license="MIT") == first


@pytest.mark.parametrize(
    "change",
    [
        {"name": "Other"},
        {"license": "MIT"},
        {"licenseTextDigest": "sha256:" + "1" * 64},
        {"privacyUnit": "age"},
        {"maxContributions": 2},
        {"columns": [{"name": "age", "kind": "NUMBER", "lower": 0, "upper": 121}]},
    ],
)
async def test_slug_of_a_data_set_with_other_metadata_is_taken(
    describe: RegisterDataset, change: dict[str, object]
) -> None:
    await describe()
    payload = await describe(**change)
    found = (payload["dataset"], reason(payload))
    assert found == (None, ("ALREADY_EXISTS", ["input", "slug"]))


async def test_two_tenants_use_one_slug(
    api: Api, postgres: EmbeddedServer, describe: RegisterDataset
) -> None:
    first = await describe()
    other = await register_tenant(api)
    theirs = await provision_source(postgres, other)
    second = await asked(
        api,
        REGISTER_DATASET,
        api.mint(other, "datasets:read", "datasets:write"),
        tenant=other,
        input=dataset_input(theirs),
    )
    assert first["dataset"]["id"] != second["dataset"]["id"]


async def test_equal_data_sets_at_once_agree(describe: RegisterDataset) -> None:
    payloads = await asyncio.gather(*(describe() for _ in range(8)))
    assert len({payload["dataset"]["id"] for payload in payloads}) == 1


async def test_of_different_data_sets_at_once_one_wins(describe: RegisterDataset) -> None:
    payloads = await asyncio.gather(*(describe(name=f"Visits {number}") for number in range(8)))
    outcomes = Counter(
        reason(payload)[0] if payload["userErrors"] else "registered" for payload in payloads
    )
    assert outcomes == {"registered": 1, "ALREADY_EXISTS": 7}


async def test_source_of_another_tenant_is_unknown(
    api: Api, postgres: EmbeddedServer, describe: RegisterDataset
) -> None:
    theirs = await provision_source(postgres, await register_tenant(api))
    payload = await describe(source=theirs)
    assert reason(payload) == ("UNKNOWN_SOURCE", ["input", "source"])


@pytest.mark.parametrize("made", ["text", "empty", "own", "data set", "tenant"])
async def test_source_that_was_not_provisioned_is_unknown(
    describe: RegisterDataset, tenant_id: str, made: str
) -> None:
    source = {
        "text": "tenant_data.visits",
        "empty": "",
        "own": ids.encode(IdKind.DATASET_SOURCE, tenant_id, uuid4()),
        "data set": ids.encode(IdKind.DATASET, tenant_id, uuid4()),
        "tenant": ids.encode(IdKind.DATASET_SOURCE, "another-tenant", uuid4()),
    }[made]
    payload = await describe(source=source)
    assert reason(payload) == ("UNKNOWN_SOURCE", ["input", "source"])


async def test_foreign_source_is_answered_like_one_that_does_not_exist(
    api: Api, postgres: EmbeddedServer, describe: RegisterDataset, tenant_id: str
) -> None:
    theirs = await provision_source(postgres, await register_tenant(api))
    made_up = ids.encode(IdKind.DATASET_SOURCE, tenant_id, uuid4())
    assert await describe(source=theirs) == await describe(source=made_up)


async def test_region_is_one_of_the_tenant(describe: RegisterDataset) -> None:
    payload = await describe(region=OTHER_REGION)
    assert reason(payload) == ("INVALID_INPUT", ["input", "region"])


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"slug": "a|b"}, ["slug"]),
        ({"name": "Visits\u202e"}, ["name"]),
        ({"region": "aws:nowhere"}, ["region"]),
        ({"license": "Proprietary"}, ["license"]),
        ({"privacyUnit": "patient"}, ["privacyUnit"]),
        ({"maxContributions": 0}, ["maxContributions"]),
        ({"columns": []}, ["columns"]),
        ({"columns": [{"name": "room", "kind": "CATEGORY", "values": ["x"]}]}, ["columns", "0", "name"]),
        ({"columns": [{"name": "scan", "kind": "CATEGORY", "values": ["x"]}]}, ["columns", "0", "kind"]),
        ({"columns": [{"name": "age", "kind": "NUMBER"}]}, ["columns", "0", "lower"]),
    ],
)  # fmt: skip
async def test_broken_rule_of_a_data_set_is_answered_with_its_field(
    describe: RegisterDataset, change: dict[str, object], field: list[str]
) -> None:
    payload = await describe(**change)
    assert reason(payload)[1] == ["input", *field]


async def test_literals_beyond_the_numbers_are_refused_as_bounds(
    api: Api, tenant_id: str, source: str
) -> None:
    query = REGISTER_DATASET.replace(
        "input: $input",
        'input: { slug: "visits", name: "Visits", source: "%s", region: "%s", license: "MIT",'
        ' licenseTextDigest: "sha256:%s", privacyUnit: "person",'
        ' columns: [{ name: "age", kind: NUMBER, lower: -1e400, upper: 1e400 }] }'
        % (source, REGION, "0" * 64),
    ).replace(", $input: RegisterDatasetInput!", "")
    token = api.mint(tenant_id, "datasets:read", "datasets:write")
    payload = await asked(api, query, token, tenant=tenant_id)
    assert reason(payload) == ("INVALID_INPUT", ["input", "columns", "0", "lower"])


@pytest.mark.parametrize("field", ["slug", "name", "region", "license", "privacyUnit", "source"])
async def test_nul_that_the_document_escapes_is_refused(
    api: Api, tenant_id: str, source: str, field: str
) -> None:
    values = {"slug": "visits", "name": "Visits", "source": source, "region": REGION,
              "license": "MIT", "privacyUnit": "person", field: "x\\u0000"}  # fmt: skip
    written = ", ".join(f'{name}: "{value}"' for name, value in values.items())
    columns = '[{ name: "age", kind: NUMBER, lower: 0, upper: 1 }]'
    query = REGISTER_DATASET.replace(
        "input: $input",
        f'input: {{ {written}, licenseTextDigest: "sha256:{"0" * 64}", columns: {columns} }}',
    ).replace(", $input: RegisterDatasetInput!", "")
    token = api.mint(tenant_id, "datasets:read", "datasets:write")
    payload = await asked(api, query, token, tenant=tenant_id)
    assert reason(payload)[1] == ["input", field]


async def test_platform_registers_data_sets_of_a_tenant_that_exists_only(
    api: Api, tenant_id: str
) -> None:
    payload = await asked(
        api,
        REGISTER_DATASET,
        api.mint(None, "platform:tenants", "datasets:read", "datasets:write"),
        tenant=tenant_id,
        input=dataset_input(ids.encode(IdKind.DATASET_SOURCE, tenant_id, uuid4())),
    )
    assert reason(payload) == ("UNKNOWN_SOURCE", ["input", "source"])


async def test_who_registered_is_recorded(
    api: Api, postgres: EmbeddedServer, register: RegisterTenant, tenant_id: str
) -> None:
    await register(tenant_id)
    async with operator_transaction(postgres.url(Role.OWNER)) as transaction:
        row = await transaction.row(
            "SELECT registered_by FROM tenant WHERE tenant_id = $1", tenant_id
        )
    assert row is not None
    assert row["registered_by"] == "test-subject"
