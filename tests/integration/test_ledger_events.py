"""One event of a ledger: who finds it, who does not, and in how many statements."""

import asyncio
import secrets
from uuid import uuid4

import pytest

from subgraph.db import ids
from subgraph.db.ids import IdKind
from subgraph.ledger.model import DEPLOYMENT
from tests.conftest import Api
from tests.integration.datasets import (
    first_events,
    register_tenant,
)
from tests.integration.ledgers import (
    ENTITIES,
    EVENT,
    Reader,
    codes,
    reported,
)


async def test_event_of_a_ledger_is_found_by_its_id(reader: Reader) -> None:
    wanted = (await reader.events())[3]
    assert (await reader.ledger(f"event(id: $id) {{ {EVENT} }}", id=wanted["id"]))[
        "event"
    ] == wanted


async def test_entities_answer_events_in_their_order(reader: Reader) -> None:
    wanted = [event["id"] for event in reversed(await reader.events("id"))]
    of = [{"__typename": "LedgerEvent", "id": item} for item in wanted]
    answer = await reader.api.ask(ENTITIES, token=reader.token, variables={"of": of})
    assert [item["id"] for item in answer["data"]["_entities"]] == wanted


async def unseen(reader: Reader) -> dict[str, str]:
    """Ids of events that the reader may not see, or that nobody can."""
    other = await register_tenant(reader.api)
    (foreign,) = await first_events(reader.api, other, 1)
    deployment = (await reader.deployment("ledger.key.announced"))[0]["id"]
    return {
        "foreign": foreign,
        "of the deployment": deployment,
        "unknown": ids.encode(IdKind.LEDGER_EVENT, reader.tenant, uuid4()),
        "of no tenant": ids.encode(IdKind.LEDGER_EVENT, "t-" + secrets.token_hex(8), uuid4()),
        "of no event of the deployment": ids.encode(IdKind.LEDGER_EVENT, DEPLOYMENT, uuid4()),
        "of a tenant with a space": ids.encode(IdKind.LEDGER_EVENT, "a b", uuid4()),
        "of a tenant beyond ASCII": ids.encode(IdKind.LEDGER_EVENT, "t\u00e4", uuid4()),
        "of a data set": ids.encode(IdKind.DATASET, reader.tenant, uuid4()),
        "no id": "x",
        "empty": "",
    }


async def test_event_that_the_reader_may_not_see_is_like_none_in_the_ledger(
    reader: Reader,
) -> None:
    for kind, event in (await unseen(reader)).items():
        answer = await reader.answer("event(id: $id) { id }", id=event)
        assert answer == {"data": {"tenant": {"ledger": {"event": None}}}}, kind


@pytest.mark.parametrize("scopes", [("ledger:read",), ("ledger:read", "ledger:deployment")])
async def test_event_that_the_reader_may_not_see_is_like_none_among_entities(
    reader: Reader, scopes: tuple[str, ...]
) -> None:
    hidden = (await unseen(reader)).values()
    answer = await reader.api.ask(
        ENTITIES,
        token=reader.api.mint(reader.tenant, *scopes),
        variables={"of": [{"__typename": "LedgerEvent", "id": event} for event in hidden]},
    )
    assert answer == {"data": {"_entities": [None] * len(hidden)}}


async def test_event_is_like_none_without_the_scope(reader: Reader) -> None:
    (event,) = await first_events(reader.api, reader.tenant, 1)
    answer = await reader.api.ask(
        ENTITIES,
        token=reader.api.mint(reader.tenant, "datasets:read"),
        variables={"of": [{"__typename": "LedgerEvent", "id": event}]},
    )
    assert answer == {"data": {"_entities": [None]}}


async def test_operator_reads_events_of_the_deployment_as_entities(reader: Reader) -> None:
    event = (await reader.deployment("ledger.key.announced"))[0]["id"]
    answer = await reader.api.ask(
        ENTITIES,
        token=reader.operator,
        variables={"of": [{"__typename": "LedgerEvent", "id": event}]},
    )
    assert answer["data"] == {"_entities": [{"id": event, "type": "ledger.key.announced"}]}


@pytest.mark.parametrize("scopes", [("ledger:deployment",), ("platform:*", "ledger:deployment")])
async def test_tenant_never_reads_the_log_of_the_deployment(
    reader: Reader, scopes: tuple[str, ...]
) -> None:
    token = reader.api.mint(reader.tenant, *scopes)
    answer = await reader.api.ask("{ deploymentLedger { size } }", token=token)
    assert (answer["data"], codes(answer)) == ({"deploymentLedger": None}, ["FORBIDDEN"])


async def test_events_of_many_tenants_take_one_statement(
    api: Api,
) -> None:
    tenants = await asyncio.gather(*(register_tenant(api) for _ in range(10)))
    events = [(await first_events(api, tenant, 1))[0] for tenant in tenants]
    before = await reported(api)
    answer = await api.ask(
        ENTITIES,
        token=api.mint(None, "platform:tenants", "ledger:read"),
        variables={"of": [{"__typename": "LedgerEvent", "id": event} for event in events]},
    )
    sent = await reported(api) - before
    assert (sent, [item["id"] for item in answer["data"]["_entities"]]) == (1, events)
