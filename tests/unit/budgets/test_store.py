"""What the tables themselves refuse: raw SQL as the service role, and as their owner."""

from dataclasses import replace
from decimal import Decimal

import asyncpg
import pytest

from subgraph.db.roles import Role
from subgraph.errors import SubgraphError
from tests.unit.budgets.accounts import Accounts, answers, charge, request

NO_AMOUNTS = ["0", "-1", "NaN", "Infinity", "-Infinity", "4e-10", "1e-400", "1e9"]
REFUSED = (
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.DataError,
    asyncpg.RestrictViolationError,
)


async def raw(books: Accounts, tenant: str, sql: str, *args: object, role: Role = Role.SERVICE):
    connection = await asyncpg.connect(books.scratch.url(role))
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('ig.tenant', $1, true)", tenant)
            return await connection.fetch(sql, *args)
    finally:
        await connection.close()


RESERVE = (
    "SELECT outcome FROM dp_reserve($1, gen_random_uuid(), gen_random_uuid()::text,"
    " sha256('a'), gen_random_uuid(), '1 minute', NULL, NULL, true, ARRAY[gen_random_uuid()],"
    " ARRAY[gen_random_uuid()], ARRAY[sha256(gen_random_uuid()::text::bytea)],"
    " ARRAY[$2::text::numeric], ARRAY['{}'])"
)


@pytest.mark.parametrize("amount", NO_AMOUNTS)
async def test_the_function_charges_nothing_that_is_no_epsilon(
    books: Accounts, amount: str
) -> None:
    tenant = await books.open("10")
    await books.spend(tenant, "1")
    try:
        ((outcome,),) = await raw(books, tenant, RESERVE, tenant, amount)
    except REFUSED:
        outcome = "REFUSED"
    assert outcome in ("REFUSED", "EXHAUSTED")
    assert (await books.row(tenant))["epsilon_spent"] == 1


async def test_one_bad_charge_among_good_ones_charges_nothing(books: Accounts) -> None:
    tenant = await books.open("10")
    both = RESERVE.replace(
        "ARRAY[gen_random_uuid()]", "ARRAY[gen_random_uuid(), gen_random_uuid()]"
    )
    both = both.replace("ARRAY[$2::text::numeric]", "ARRAY[5, $2::text::numeric]").replace(
        "ARRAY['{}']", "ARRAY['{}', '{}']"
    )
    both = both.replace(
        "ARRAY[sha256(gen_random_uuid()::text::bytea)]",
        "ARRAY[sha256('b'), sha256('c')]",
    )
    with pytest.raises(REFUSED):
        await raw(books, tenant, both, tenant, "-4")
    assert (await raw(books, tenant, "SELECT FROM dp_spend")) == []


@pytest.mark.parametrize("amount", NO_AMOUNTS)
@pytest.mark.parametrize("column", ["epsilon_limit", "lifetime_limit", "max_epsilon_per_operation"])
async def test_a_policy_holds_no_limit_that_is_none(
    books: Accounts, column: str, amount: str
) -> None:
    tenant = await books.open("10")
    given = {"epsilon_limit": "1", "lifetime_limit": "1", "max_epsilon_per_operation": "1"}
    given[column] = amount
    with pytest.raises(REFUSED):
        await raw(
            books, tenant,
            "INSERT INTO dp_policy SELECT $1, 2, 'PURE_EPSILON', 'DAY', $2::text::numeric,"
            " $3::text::numeric, $4::text::numeric, now(), 'x'",
            tenant, *given.values(),
        )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        "epsilon_spent = 0",
        "epsilon_spent = 'NaN', seq = seq + 1",
        "epsilon_spent = 'Infinity', seq = seq + 1",
        "epsilon_spent = epsilon_spent + 1",
        "seq = seq - 1",
        "seq = seq + 1",
        "head = sha256('a')",
        "epsilon_granted = -1",
        "epsilon_granted = 'NaN'",
        "epsilon_reserved = -0.000000001",
        "epsilon_reserved = 'NaN'",
        "epsilon_limit = 'NaN'",
        "epsilon_limit = NULL",
        "anchored_seq = seq + 1",
    ],
)
async def test_a_window_never_goes_back(books: Accounts, change: str) -> None:
    tenant = await books.open("10")
    await books.spend(tenant, "1")
    with pytest.raises(REFUSED):
        await raw(books, tenant, f"UPDATE dp_budget SET {change} WHERE window_start > '-infinity'")


@pytest.mark.parametrize("role", [Role.SERVICE, Role.OWNER])
@pytest.mark.parametrize(
    "table",
    ["dp_policy", "dp_budget", "dp_reservation", "dp_spend", "dp_release", "dp_override",
     "dp_ticket"],
)  # fmt: skip
async def test_nobody_removes_anything(books: Accounts, table: str, role: Role) -> None:
    tenant = await books.open()
    await books.spend(tenant)
    with pytest.raises((asyncpg.InsufficientPrivilegeError, *REFUSED)):
        await raw(books, tenant, f"DELETE FROM {table} WHERE tenant_id = $1", tenant, role=role)


async def spend_in(books: Accounts, state: str) -> str:
    tenant, item = await books.open(), charge()
    made = await books.accountant.reserve(tenant, request(item))
    if state == "COMMITTED":
        await books.accountant.commit(made, answers(item))
    elif state == "FORFEITED":
        await books.accountant.forfeit(made)
    return tenant


STATES = ("RESERVED", "COMMITTED", "FORFEITED")


@pytest.mark.parametrize(
    ("old", "new"),
    [(old, new) for old in STATES for new in STATES if old != "RESERVED" or new == "RESERVED"],
)
async def test_a_spend_is_settled_once(books: Accounts, old: str, new: str) -> None:
    tenant = await spend_in(books, old)
    with pytest.raises(REFUSED):
        await raw(
            books, tenant, "UPDATE dp_spend SET state = $1 WHERE tenant_id = $2", new, tenant,
            role=Role.OWNER,
        )  # fmt: skip


@pytest.mark.parametrize("column", ["entry = entry || ' '", "epsilon = 0.01", "chain_hash = head"])
async def test_not_even_the_owner_changes_what_was_spent(books: Accounts, column: str) -> None:
    tenant = await spend_in(books, "RESERVED")
    with pytest.raises(REFUSED):
        await raw(
            books, tenant,
            f"UPDATE dp_spend SET {column.replace('head', 'release_key')}, state = 'COMMITTED',"
            " settled_at = now() WHERE tenant_id = $1",
            tenant, role=Role.OWNER,
        )  # fmt: skip


async def test_an_epoch_never_goes_back(books: Accounts) -> None:
    tenant = await spend_in(books, "RESERVED")
    for change in ("epoch = 0", "holder = gen_random_uuid()"):
        with pytest.raises(REFUSED):
            await raw(books, tenant, f"UPDATE dp_reservation SET {change}")


# --- other tenants


@pytest.mark.parametrize(
    "table", ["dp_policy", "dp_budget", "dp_reservation", "dp_spend", "dp_release"]
)
async def test_another_tenant_sees_nothing(books: Accounts, table: str) -> None:
    tenant, other = await spend_in(books, "COMMITTED"), await books.open()
    sql = f"SELECT FROM {table} WHERE tenant_id = $1"
    assert await raw(books, other, sql, tenant) == []
    assert len(await raw(books, tenant, sql, tenant)) > 0


async def test_a_function_reserves_for_the_bound_tenant_only(books: Accounts) -> None:
    tenant, other = await books.open(), await books.open()
    ((outcome,),) = await raw(books, other, RESERVE, tenant, "1")
    assert outcome == "NOT_SET"
    assert (await books.row(tenant, lifetime=True))["epsilon_spent"] == 0


async def test_a_reservation_of_another_tenant_cannot_be_committed(books: Accounts) -> None:
    tenant, other, item = await books.open(), await books.open(), charge()
    made = await books.accountant.reserve(tenant, request(item))
    with pytest.raises(SubgraphError):
        await books.accountant.commit(replace(made, tenant=other), answers(item))


async def test_a_window_holds_exactly_what_its_spends_say(books: Accounts) -> None:
    tenant = await books.open("10")
    for epsilon in ("0.1", "0.000000001", "2"):
        await books.spend(tenant, epsilon)
    ((total,),) = await raw(books, tenant, "SELECT sum(epsilon) FROM dp_spend")
    assert (await books.row(tenant))["epsilon_spent"] == total == Decimal("2.100000001")
