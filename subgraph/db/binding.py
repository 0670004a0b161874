"""Statements that are bound to a tenant for exactly as long as they run.

Row-level security compares `tenant_id` with the setting `ig.tenant`. A statement made here sets
it in the statement itself, so binding and reading are one round trip and nothing is left behind
on the connection. The shape matters: the binding is a materialised row, the statement reads that
row, and `OFFSET 0` keeps the planner from merging the two, so the setting is in force before the
first tenant row is looked at under every plan.
"""

from dataclasses import dataclass

_BOUND = "bound.tenant"


@dataclass(frozen=True, slots=True)
class TenantRead:
    """A read of one tenant. `$1` is the tenant; the statement's own parameters start at `$2`."""

    sql: str


@dataclass(frozen=True, slots=True)
class TenantReadMany:
    """A read of keys of several tenants. `$1` and `$2` are parallel arrays of tenant and key."""

    sql: str


def tenant_read(statement: str) -> TenantRead:
    """Bind `statement` to the tenant in `$1`; it compares its `tenant_id` with `bound.tenant`."""
    _require_bound(statement)
    return TenantRead(
        "WITH bound AS MATERIALIZED (SELECT set_config('ig.tenant', $1, true) AS tenant)\n"
        f"SELECT answer.* FROM bound CROSS JOIN LATERAL (\n{statement}\nOFFSET 0) AS answer"
    )


def tenant_read_many(statement: str, *, key_type: str) -> TenantReadMany:
    """Bind `statement` to each tenant in turn; it reads `bound.tenant` and `asked.keys`.

    The keys are grouped, so the statement runs once a tenant, as a single round trip.
    """
    _require_bound(statement)
    return TenantReadMany(
        "WITH asked AS MATERIALIZED (\n"
        "  SELECT tenant, array_agg(key) AS keys\n"
        f"  FROM unnest($1::text[], $2::{key_type}[]) AS pair(tenant, key) GROUP BY tenant)\n"
        "SELECT answer.* FROM asked\n"
        "CROSS JOIN LATERAL (\n"
        "  SELECT set_config('ig.tenant', asked.tenant, true) AS tenant OFFSET 0) AS bound\n"
        f"CROSS JOIN LATERAL (\n{statement}\nOFFSET 0) AS answer"
    )


def _require_bound(statement: str) -> None:
    if _BOUND not in statement:
        message = f"a tenant statement compares its tenant_id with {_BOUND}"
        raise ValueError(message)
