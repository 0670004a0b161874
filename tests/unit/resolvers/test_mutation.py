"""Mutations of one operation see what those before them wrote."""

from typing import Any

from subgraph.db.embedded import EmbeddedServer
from tests.conftest import Api
from tests.integration.datasets import (
    dataset_input,
    provision_source,
    register_tenant,
    tenant_input,
)


async def test_each_data_set_is_listed_by_the_mutation_that_registered_it(
    api: Api, postgres: EmbeddedServer
) -> None:
    tenant = await register_tenant(api)
    source = await provision_source(postgres, tenant)
    payload = "{ dataset { tenant { datasets { nodes { slug } } } } }"
    answer = await api.ask(
        "mutation($t: ID!, $a: RegisterDatasetInput!, $b: RegisterDatasetInput!) {"
        f" a: registerDataset(tenantId: $t, input: $a) {payload}"
        f" b: registerDataset(tenantId: $t, input: $b) {payload} }}",
        token=api.mint(tenant, "datasets:read", "datasets:write"),
        variables={
            "t": tenant,
            "a": dataset_input(source, "first"),
            "b": dataset_input(source, "second"),
        },
    )
    listed = [
        [node["slug"] for node in answer["data"][name]["dataset"]["tenant"]["datasets"]["nodes"]]
        for name in ("a", "b")
    ]
    assert listed == [["first"], ["first", "second"]]


async def test_refused_mutation_does_not_keep_the_next_one_from_running(
    api: Api, tenant_id: str
) -> None:
    answer = await api.ask(
        "mutation($a: RegisterTenantInput!, $b: RegisterTenantInput!) {"
        " a: registerTenant(input: $a) { tenant { id } userErrors { code } }"
        " b: registerTenant(input: $b) { tenant { id } userErrors { code } } }",
        token=api.mint(None, "platform:tenants"),
        variables={"a": tenant_input("Wrong"), "b": tenant_input(tenant_id)},
    )
    assert answer == {
        "data": {
            "a": {"tenant": None, "userErrors": [{"code": "INVALID_INPUT"}]},
            "b": {"tenant": {"id": tenant_id}, "userErrors": []},
        }
    }


async def test_mutation_is_not_sent_by_get(api: Api, tenant_id: str) -> None:
    response = await api.client.get(
        "/graphql",
        params={
            "query": f'mutation {{ registerTenant(input: {{ id: "{tenant_id}", name: "x",'
            ' homeRegion: "aws:eu-central-1", allowedRegions: ["aws:eu-central-1"] })'
            " { userErrors { code } } }"
        },
        headers={
            "authorization": f"Bearer {api.mint(None, 'platform:tenants')}",
            "apollo-require-preflight": "1",
        },
    )
    (error,) = response.json()["errors"]
    assert (response.status_code, error["extensions"]["code"]) == (405, "METHOD_NOT_ALLOWED")


async def test_argument_may_be_left_out_where_the_schema_has_a_default(
    api: Api, postgres: EmbeddedServer
) -> None:
    tenant = await register_tenant(api)
    wanted: dict[str, Any] = dataset_input(await provision_source(postgres, tenant))
    answer = await api.ask(
        "mutation($t: ID!, $i: RegisterDatasetInput!) { registerDataset(tenantId: $t, input: $i)"
        " { dataset { maxContributions } } }",
        token=api.mint(tenant, "datasets:read", "datasets:write"),
        variables={"t": tenant, "i": wanted},
    )
    assert answer["data"]["registerDataset"]["dataset"] == {"maxContributions": 1}
