"""A request that is sent again gets its first answer."""

import asyncio
import secrets
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.db import idempotency
from subgraph.db.idempotency import Claim
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, JSONValue, SubgraphError

ASKED = idempotency.digest({"what": "this"})
OTHER = idempotency.digest({"what": "that"})
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def tenant() -> str:
    return f"t-{secrets.token_hex(8)}"


async def claim(
    database: Database,
    tenant: str,
    result: UUID,
    *,
    digest: bytes = ASKED,
    key: str = "k",
    operation: str = "op",
) -> UUID:
    async with database.transaction(tenant) as transaction:
        return await idempotency.claim(
            transaction, tenant, operation, key, request_digest=digest, result=result
        )


async def test_the_first_answer_stands(database: Database, tenant: str) -> None:
    first, second = uuid4(), uuid4()
    assert await claim(database, tenant, first) == first
    assert await claim(database, tenant, second) == first


async def test_another_request_under_the_key_is_refused(database: Database, tenant: str) -> None:
    await claim(database, tenant, uuid4())
    with pytest.raises(SubgraphError) as caught:
        await claim(database, tenant, uuid4(), digest=OTHER)
    assert caught.value.code is ErrorCode.IDEMPOTENCY_CONFLICT


@pytest.mark.parametrize("change", [{"key": "l"}, {"operation": "another"}])
async def test_keys_are_of_one_operation(
    database: Database, tenant: str, change: dict[str, str]
) -> None:
    await claim(database, tenant, uuid4())
    result = uuid4()
    assert await claim(database, tenant, result, digest=OTHER, **change) == result


async def test_keys_are_of_one_tenant(database: Database, tenant: str) -> None:
    await claim(database, tenant, uuid4())
    result = uuid4()
    assert await claim(database, f"{tenant}-b", result, digest=OTHER) == result


async def given_up(database: Database, tenant: str) -> None:
    async with database.transaction(tenant) as transaction:
        await idempotency.claim(
            transaction, tenant, "op", "k", request_digest=ASKED, result=uuid4()
        )
        raise ZeroDivisionError


async def test_a_claim_falls_with_its_transaction(database: Database, tenant: str) -> None:
    with pytest.raises(ZeroDivisionError):
        await given_up(database, tenant)
    result = uuid4()
    assert await claim(database, tenant, result, digest=OTHER) == result


async def test_a_repeat_waits_for_the_outcome(database: Database, tenant: str) -> None:
    first, second = uuid4(), uuid4()
    async with database.transaction(tenant) as transaction:
        await idempotency.claim(transaction, tenant, "op", "k", request_digest=ASKED, result=first)
        repeat = asyncio.create_task(claim(database, tenant, second))
        done, _ = await asyncio.wait([repeat], timeout=0.2)
        assert not done
    assert await repeat == first


async def test_of_many_at_once_one_wins(database: Database, tenant: str) -> None:
    results = [uuid4() for _ in range(8)]
    answers = await asyncio.gather(*(claim(database, tenant, result) for result in results))
    assert len(set(answers)) == 1


async def test_entering_says_whether_it_is_the_first(database: Database, tenant: str) -> None:
    first, second = uuid4(), uuid4()
    async with database.transaction(tenant) as transaction:
        assert await idempotency.find(transaction, tenant, "op", "k") is None
        entered = [
            await idempotency.enter(
                transaction, tenant, "op", "k", request_digest=digest, result=result
            )
            for digest, result in ((ASKED, first), (OTHER, second))
        ]
        found = await idempotency.find(transaction, tenant, "op", "k")
    assert entered == [Claim(first, ASKED, fresh=True), Claim(first, ASKED, fresh=False)]
    assert found == entered[1]


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb", "\u202e"])
async def test_a_key_is_short_and_printable(database: Database, tenant: str, key: str) -> None:
    with pytest.raises(SubgraphError) as caught:
        await claim(database, tenant, uuid4(), key=key)
    assert caught.value.code is ErrorCode.BAD_USER_INPUT


@given(st.dictionaries(TEXT, JSON, max_size=5))
def test_the_order_of_members_does_not_matter(request: dict[str, JSONValue]) -> None:
    turned = dict(reversed(request.items()))
    assert idempotency.digest(request) == idempotency.digest(turned)


@given(JSON, JSON)
def test_other_requests_have_other_bytes(one: JSONValue, two: JSONValue) -> None:
    same = idempotency.canonical(one) == idempotency.canonical(two)
    assert same == (repr(_ordered(one)) == repr(_ordered(two)))


def _ordered(value: JSONValue) -> JSONValue:
    if isinstance(value, dict):
        return {name: _ordered(value[name]) for name in sorted(value)}
    if isinstance(value, list):
        return [_ordered(item) for item in value]
    return value
