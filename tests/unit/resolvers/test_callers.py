"""`Query.caller`."""

import pytest

from tests.conftest import Api


async def test_caller_is_the_subject_of_the_token(api: Api) -> None:
    answer = await api.ask("{ caller { subject } }", token=api.mint("acme", subject="s-1"))
    assert answer == {"data": {"caller": {"subject": "s-1"}}}


async def test_scopes_are_sorted(api: Api) -> None:
    answer = await api.ask("{ caller { scopes } }", token=api.mint("acme", "b:x", "a:y"))
    assert answer["data"]["caller"]["scopes"] == ["a:y", "b:x"]


async def test_scopes_are_a_hundred_at_the_most(api: Api) -> None:
    scopes = [f"s:{number:03}" for number in range(150)]
    answer = await api.ask("{ caller { scopes } }", token=api.mint("acme", *scopes))
    assert answer["data"]["caller"]["scopes"] == scopes[:100]


async def test_tenant_that_is_not_registered_is_null(api: Api, tenant_id: str) -> None:
    answer = await api.ask("{ caller { tenant { id } } }", token=api.mint(tenant_id))
    assert answer == {"data": {"caller": {"tenant": None}}}


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ({}, None),
        ({"apollographql-client-name": "portal"}, {"name": "portal", "version": None}),
        (
            {"apollographql-client-name": "portal", "apollographql-client-version": "1.2"},
            {"name": "portal", "version": "1.2"},
        ),
        ({"apollographql-client-version": "1.2"}, None),
    ],
)
async def test_client_is_what_it_calls_itself(
    api: Api, headers: dict[str, str], client: dict[str, str | None] | None
) -> None:
    answer = await api.ask(
        "{ caller { client { name version } } }", token=api.mint("acme"), headers=headers
    )
    assert answer["data"]["caller"]["client"] == client
