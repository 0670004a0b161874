"""The operator offers a relation to a tenant; the tenant registers data sets from it."""

import re
from uuid import uuid4

import msgspec

from subgraph.db.isolation import is_isolated
from subgraph.db.operator import operator_transaction
from subgraph.db.service import Transaction
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.tenants import store
from subgraph.tenants.model import Source

_RELATION = re.compile(r"[a-z_][a-z0-9_]{0,62}\.[a-z_][a-z0-9_]{0,62}")


async def provision(system_dsn: str, tenant: str, relation: str) -> Source:
    """Offer `relation` (schema-qualified) to `tenant`; offering it again answers the same source.

    Raises `INVALID_INPUT` for a relation that does not exist, that the service may not read, or
    whose rows are not kept apart by forced row-level security on a text column `tenant_id`; and
    for a tenant that is not registered.
    """
    if not _RELATION.fullmatch(relation):
        raise SubgraphError(ErrorCode.INVALID_INPUT, "a relation is named schema.table")
    async with operator_transaction(system_dsn) as transaction:
        await _require_registered(transaction, tenant)
        found = await store.relation(transaction, relation)
        if found is None:
            raise SubgraphError(ErrorCode.INVALID_INPUT, f"there is no relation {relation}")
        columns = msgspec.json.decode(found["columns"], type=dict[str, str])
        if columns.get("tenant_id") != "text":
            raise _unfit(relation, "has no text column tenant_id")
        if not await is_isolated(transaction, relation):
            raise _unfit(relation, "has no forced row-level security that compares tenant_id")
        if not found["readable"]:
            raise _unfit(relation, "cannot be read by ig_service")
        del columns["tenant_id"]
        await store.insert_source(transaction, Source(tenant, uuid4(), relation, columns))
        offered = await store.sources(transaction, tenant)
    return next(source for source in offered if source.relation == relation)


async def sources(system_dsn: str, tenant: str) -> list[Source]:
    """The relations that are offered to `tenant`, by name.

    Raises `INVALID_INPUT` for a tenant that is not registered.
    """
    async with operator_transaction(system_dsn) as transaction:
        await _require_registered(transaction, tenant)
        return await store.sources(transaction, tenant)


async def _require_registered(transaction: Transaction, tenant: str) -> None:
    if not await store.is_registered(transaction, tenant):
        raise SubgraphError(ErrorCode.INVALID_INPUT, f"no tenant {tenant} is registered")


def _unfit(relation: str, what: str) -> SubgraphError:
    return SubgraphError(ErrorCode.INVALID_INPUT, f"the relation {relation} {what}")
