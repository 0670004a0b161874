"""Lists and entities of keys, records, jobs and requests: order, pages, and what they cost."""

# ruff: noqa: UP031 - GraphQL has braces of its own

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from subgraph.db import ids
from subgraph.db.embedded import EmbeddedServer
from subgraph.db.ids import IdKind
from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.settings import Settings
from tests.conftest import Api
from tests.integration.datasets import register_tenant
from tests.integration.keys import ADA, PERSON, Caller, worker
from tests.integration.test_statements import Statistics

RECORDS = 25
ENDED = 3
ENTITIES = {
    "CustomerManagedKey": IdKind.CUSTOMER_KEY,
    "KeyVersion": IdKind.KEY_VERSION,
    "KeyDestruction": IdKind.KEY_DESTRUCTION,
    "KeyJob": IdKind.KEY_JOB,
    "ProtectedRecord": IdKind.PROTECTED_RECORD,
    "BreakGlassRequest": IdKind.BREAK_GLASS,
}


@dataclass(frozen=True)
class Shelf:
    """A tenant with several of everything; jobs, versions and requests newest first."""

    owner: Caller
    records: list[str]
    jobs: list[str]
    versions: list[str]
    requests: list[str]
    objects: dict[str, str]


@pytest.fixture(scope="module")
async def shelf(api: Api, settings: Settings, database: Database) -> Shelf:
    owner = Caller(api, await register_tenant(api))
    key = (await owner.attach())["key"]["id"]
    people = [await owner.stored() for _ in range(RECORDS - 1)]
    order = await owner.stored(objectType="order")
    jobs = []
    async with worker(settings, database) as finish:
        for _ in range(ENDED):
            jobs.append((await owner.plan("rotateKey"))["job"]["id"])
            await finish(jobs[-1])
    jobs.append((await owner.plan("reencryptRecords"))["job"]["id"])
    found = await owner.of_tenant("cmk { versions { nodes { id } } }")
    versions = [item["id"] for item in found["cmk"]["versions"]["nodes"]]
    destruction = (await owner.request_destruction(versions[-1]))["destruction"]["id"]
    made = [await owner.request_glass([people[0]]) for _ in range(3)]
    requests = [item["request"]["id"] for item in made]
    objects = {
        "CustomerManagedKey": key,
        "KeyVersion": versions[0],
        "KeyDestruction": destruction,
        "KeyJob": jobs[-1],
        "ProtectedRecord": order,
        "BreakGlassRequest": requests[0],
    }
    return Shelf(owner, [*people, order], jobs[::-1], versions, requests[::-1], objects)


@pytest.fixture(scope="module")
async def statistics(api: Api, postgres: EmbeddedServer) -> AsyncIterator[Statistics]:
    connection = await asyncpg.connect(postgres.url(Role.ADMIN))
    yield Statistics(connection, api)
    await connection.close()


LISTS = {
    "records": "records(%s) { nodes { id } pageInfo { hasNextPage endCursor } }",
    "persons": (
        'records(objectType: "person", %s) { nodes { id } pageInfo { hasNextPage endCursor } }'
    ),
    "jobs": "keyJobs(%s) { nodes { id } pageInfo { hasNextPage endCursor } }",
    "done": "keyJobs(state: DONE, %s) { nodes { id } pageInfo { hasNextPage endCursor } }",
    "versions": "cmk { versions(%s) { nodes { id } pageInfo { hasNextPage endCursor } } }",
    "requests": "breakGlassRequests(%s) { nodes { id } pageInfo { hasNextPage endCursor } }",
    "requested": (
        "breakGlassRequests(state: REQUESTED, %s)"
        " { nodes { id } pageInfo { hasNextPage endCursor } }"
    ),
}


def place(record: str) -> object:
    named = ids.decode(IdKind.PROTECTED_RECORD, record)
    assert named is not None
    return named.key


def expected(shelf: Shelf, name: str) -> list[str]:
    return {
        "records": sorted(shelf.records, key=place),
        "persons": sorted(shelf.records[:-1], key=place),
        "jobs": shelf.jobs,
        "done": shelf.jobs[1:],
        "versions": shelf.versions,
        "requests": shelf.requests,
        "requested": shelf.requests,
    }[name]


async def page(shelf: Shelf, name: str, arguments: str) -> dict[str, Any]:
    (found,) = (await shelf.owner.of_tenant(LISTS[name] % arguments)).values()
    return dict(found.get("versions", found))


async def refusal(caller: Caller, name: str, arguments: str) -> str:
    answer = await caller.ask(
        '{ tenant(id: "%s") { %s } }' % (caller.tenant, LISTS[name] % arguments)
    )
    (error,) = answer["errors"]
    return str(error["extensions"]["code"])


@pytest.mark.parametrize("first", [1, 2, 100])
@pytest.mark.parametrize("name", LISTS)
async def test_pages_hold_each_item_once_in_order(shelf: Shelf, name: str, first: int) -> None:
    found: list[str] = []
    arguments, more = f"first: {first}", True
    while more:
        read = await page(shelf, name, arguments)
        found += [item["id"] for item in read["nodes"]]
        more = read["pageInfo"]["hasNextPage"]
        arguments = f'first: {first}, after: "{read["pageInfo"]["endCursor"]}"'
    assert found == expected(shelf, name)


@pytest.mark.parametrize("first", [0, -1, 101])
@pytest.mark.parametrize("name", LISTS)
async def test_size_of_a_page_has_bounds(shelf: Shelf, name: str, first: int) -> None:
    assert await refusal(shelf.owner, name, f"first: {first}") == "BAD_USER_INPUT"


@pytest.mark.parametrize("name", LISTS)
async def test_cursor_of_another_list_is_refused(shelf: Shelf, name: str) -> None:
    other = "jobs" if name != "jobs" else "records"
    cursor = (await page(shelf, other, "first: 1"))["pageInfo"]["endCursor"]
    assert await refusal(shelf.owner, name, f'after: "{cursor}"') == "INVALID_CURSOR"


@pytest.mark.parametrize("name", LISTS)
async def test_cursor_of_another_tenant_is_refused(api: Api, shelf: Shelf, name: str) -> None:
    other = Caller(api, await register_tenant(api))
    await other.attach()
    cursor = (await page(shelf, name, "first: 1"))["pageInfo"]["endCursor"]
    assert await refusal(other, name, f'after: "{cursor}"') == "INVALID_CURSOR"


async def test_type_that_no_record_can_have_is_refused(shelf: Shelf) -> None:
    query = '{ tenant(id: "%s") { records(objectType: "1 person") { nodes { id } } } }'
    answer = await shelf.owner.ask(query % shelf.owner.tenant)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]


# --- entities


@pytest.mark.parametrize("name", ENTITIES)
async def test_entity_is_found_by_its_id(shelf: Shelf, name: str) -> None:
    asked = [{"__typename": name, "id": shelf.objects[name]}]
    answer = await shelf.owner.ask(
        "query($of: [_Any!]!) { _entities(representations: $of) { __typename ... on %s { id } } }"
        % name,
        of=asked,
    )
    assert answer == {"data": {"_entities": asked}}


@pytest.mark.parametrize("name", ENTITIES)
async def test_entity_that_is_not_there_is_null_at_its_place(shelf: Shelf, name: str) -> None:
    kind, tenant = ENTITIES[name], shelf.owner.tenant
    another = next(item for other, item in shelf.objects.items() if other != name)
    unknown = [ids.encode(kind, tenant, uuid4()), ids.encode(kind, "another-tenant", uuid4())]
    keys = [*unknown, another, "x", shelf.objects[name]]
    answer = await shelf.owner.ask(
        "query($of: [_Any!]!) { _entities(representations: $of) { __typename } }",
        of=[{"__typename": name, "id": key} for key in keys],
    )
    assert answer == {"data": {"_entities": [None] * 4 + [{"__typename": name}]}}


# --- what they cost, as telemetry counts it: probes of keys run beside the operations

PAGE = '{ tenant(id: "%s") { %s } }'
COSTS = {
    "records with their values": (2, "records { nodes { id fields { name value } } }"),
    "records with their versions": (
        4,
        "records { nodes { id fields { value } keyVersion { number recordsRemaining } } }",
    ),
    "one value of each record": (2, 'records { nodes { field(name: "name") { value } } }'),
    "the key": (2, "cmk { id state provider }"),
    "versions with what is left": (4, "cmk { versions { nodes { number recordsRemaining } } }"),
    "jobs": (2, "keyJobs { nodes { id state progress { done } tenant { id } } }"),
    "requests": (2, "breakGlassRequests { nodes { id approvals { approver } tenant { id } } }"),
}


@pytest.mark.parametrize(("statements", "selection"), COSTS.values(), ids=COSTS)
async def test_each_level_takes_one_statement(
    shelf: Shelf, statistics: Statistics, statements: int, selection: str
) -> None:
    query = PAGE % (shelf.owner.tenant, selection)
    # Once before: what a process keeps, such as data keys, is not read for every page.
    await shelf.owner.ask(query)
    _, sent, _ = await statistics.of(query, shelf.owner.token)
    assert sent == statements


@pytest.mark.parametrize("name", ENTITIES)
async def test_entities_of_a_type_take_one_statement(
    shelf: Shelf, statistics: Statistics, name: str
) -> None:
    made_up = [ids.encode(ENTITIES[name], shelf.owner.tenant, uuid4()) for _ in range(30)]
    of = [{"__typename": name, "id": key} for key in (*made_up, shelf.objects[name])]
    query = "query($of: [_Any!]!) { _entities(representations: $of) { __typename } }"
    _, sent, answer = await statistics.of(query, shelf.owner.token, {"of": of})
    assert (sent, answer["data"]["_entities"].count(None)) == (1, 30)


async def test_values_of_a_page_are_all_there(shelf: Shelf) -> None:
    found = await shelf.owner.of_tenant(
        'records(first: 100, objectType: "%s") { nodes { field(name: "name") { value } } }' % PERSON
    )
    values = [item["field"]["value"] for item in found["records"]["nodes"]]
    assert values == [ADA["name"]] * (RECORDS - 1)


READ_TWENTY = (
    'mutation { openBreakGlass(id: "%s", idempotencyKey: "open")'
    ' { records { nodes { field(name: "name") { value } } } userErrors { code } } }'
)


async def test_readings_of_a_session_are_recorded_together(
    shelf: Shelf, statistics: Statistics
) -> None:
    one = await shelf.owner.granted(shelf.records[:1])
    twenty = await shelf.owner.granted(shelf.records[:20])
    costs = []
    for request in (one, twenty):
        await shelf.owner.ask(READ_TWENTY % request)
        _, sent, answer = await statistics.of(READ_TWENTY % request, shelf.owner.token)
        costs.append(sent)
    assert len(answer["data"]["openBreakGlass"]["records"]["nodes"]) == 20
    assert costs[0] == costs[1]
