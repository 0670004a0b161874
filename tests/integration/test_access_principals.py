"""Callers of other tenants, of the platform, and those that would like to be."""

# ruff: noqa: UP031 - GraphQL has braces of its own

import pytest

from subgraph.db.embedded import EmbeddedServer
from subgraph.db.service import Database
from subgraph.settings import Settings
from tests.conftest import Api
from tests.integration.templates import DATASET, ENTITY, NEW_DATASET, NEW_TENANT, TENANT
from tests.integration.world import World, build, codes


@pytest.fixture(scope="module")
async def world(
    api: Api, postgres: EmbeddedServer, settings: Settings, database: Database
) -> World:
    return await build(api, postgres, settings, database)


async def test_foreign_data_set_under_the_own_tenant_is_not_found(api: Api, world: World) -> None:
    answer = await api.ask(
        '{ tenant(id: "%s") { dataset(id: "%s") { id } } }'
        % (world.other, world.objects["dataset"]),
        token=api.mint(world.other, "datasets:read"),
    )
    assert answer == {"data": {"tenant": {"dataset": None}}}


async def test_registration_for_a_foreign_tenant_is_forbidden(api: Api, world: World) -> None:
    answer = await api.ask(
        world.fill(NEW_DATASET % "userErrors { code }"),
        token=api.mint(world.other, "datasets:read", "datasets:write"),
    )
    assert (answer["data"], codes(answer)) == ({"registerDataset": None}, {"FORBIDDEN"})


async def test_writer_that_may_not_read_learns_only_whether_it_succeeded(
    api: Api, world: World
) -> None:
    answer = await api.ask(
        world.fill(NEW_DATASET % "dataset { id } userErrors { code }"),
        token=api.mint(world.tenant, "datasets:write"),
    )
    payload = {"registerDataset": {"dataset": None, "userErrors": []}}
    assert (answer["data"], codes(answer)) == (payload, {"FORBIDDEN"})


TENANT_SCOPES = ("platform:*", "platform:tenants", "datasets:read", "datasets:write")


async def test_tenant_that_names_platform_scopes_sees_no_other_tenant(
    api: Api, world: World
) -> None:
    answer = await api.ask(
        world.fill(TENANT % "id name"), token=api.mint(world.other, *TENANT_SCOPES)
    )
    assert answer == {"data": {"tenant": None}}


async def test_tenant_that_names_platform_scopes_sees_no_other_data_set(
    api: Api, world: World
) -> None:
    operation = ENTITY % ("Dataset", "id", "$dataset", "Dataset") % "id"
    answer = await api.ask(world.fill(operation), token=api.mint(world.other, *TENANT_SCOPES))
    assert answer == {"data": {"_entities": [None]}}


async def test_tenant_that_names_platform_scopes_registers_nobody(api: Api, world: World) -> None:
    answer = await api.ask(
        world.fill(NEW_TENANT % "Test" % "tenant { id }"),
        token=api.mint(world.tenant, *TENANT_SCOPES),
    )
    assert (answer["data"], codes(answer)) == ({"registerTenant": None}, {"FORBIDDEN"})


@pytest.mark.parametrize("scopes", [("platform:tenants",), ("platform:*",)])
async def test_platform_reads_the_identity_of_any_tenant(
    api: Api, world: World, scopes: tuple[str, ...]
) -> None:
    answer = await api.ask(world.fill(TENANT % "id"), token=api.mint(None, *scopes))
    assert answer == {"data": {"tenant": {"id": world.tenant}}}


@pytest.mark.parametrize("scopes", [(), ("datasets:read",), ("platform:queries",)])
async def test_caller_without_tenant_or_the_platform_scope_sees_no_tenant(
    api: Api, world: World, scopes: tuple[str, ...]
) -> None:
    answer = await api.ask(world.fill(TENANT % "id"), token=api.mint(None, *scopes))
    assert answer == {"data": {"tenant": None}}


async def test_platform_reads_no_data_set_without_the_scope_for_it(api: Api, world: World) -> None:
    answer = await api.ask(
        world.fill(DATASET % "id"), token=api.mint(None, "platform:*", "platform:tenants")
    )
    assert (answer["data"], codes(answer)) == ({"tenant": {"dataset": None}}, {"FORBIDDEN"})


async def test_platform_reads_data_sets_with_both_scopes(api: Api, world: World) -> None:
    answer = await api.ask(
        world.fill(DATASET % "id"), token=api.mint(None, "platform:tenants", "datasets:read")
    )
    assert answer == {"data": {"tenant": {"dataset": {"id": world.objects["dataset"]}}}}


async def test_data_scope_without_a_tenant_reads_no_data_set(api: Api, world: World) -> None:
    operation = ENTITY % ("Dataset", "id", "$dataset", "Dataset") % "id"
    answer = await api.ask(world.fill(operation), token=api.mint(None, "datasets:read"))
    assert answer["data"] == {"_entities": [None]}


async def test_platform_caller_acts_for_no_tenant(api: Api) -> None:
    answer = await api.ask("{ caller { tenant { id } } }", token=api.mint(None, "platform:*"))
    assert answer == {"data": {"caller": {"tenant": None}}}


async def test_gateway_secret_adds_no_right(api: Api, world: World, settings: Settings) -> None:
    assert settings.gateway_secret is not None
    answer = await api.ask(
        world.fill(TENANT % "id"), headers={"x-ig-gateway-secret": settings.gateway_secret}
    )
    assert codes(answer) == {"UNAUTHENTICATED"}
