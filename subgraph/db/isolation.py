"""Whether a relation that this service did not make keeps tenants apart."""

from subgraph.db.roles import Role
from subgraph.db.service import Transaction

# As PostgreSQL writes it back.
_OF_THE_TENANT = "(tenant_id = current_setting('ig.tenant'::text, true))"


async def is_isolated(transaction: Transaction, relation: str) -> bool:
    """Whether the service can only see rows of the bound tenant in `relation` (`schema.table`).

    Row-level security must be forced, and each permissive policy that applies to the service must
    compare `tenant_id` with the setting `ig.tenant`: one other policy would open other rows.
    """
    row = await transaction.row(
        "SELECT c.relrowsecurity AND c.relforcerowsecurity AS forced,"
        " (SELECT coalesce(bool_and(pg_get_expr(p.polqual, p.polrelid) = $3), false)"
        "  FROM pg_policy p"
        "  WHERE p.polrelid = c.oid AND p.polpermissive AND p.polcmd IN ('*', 'r')"
        "   AND EXISTS (SELECT FROM unnest(p.polroles) AS r(oid)"
        "    WHERE CASE r.oid WHEN 0 THEN true ELSE pg_has_role($2::name, r.oid, 'USAGE') END)"
        " ) AS guarded"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = split_part($1, '.', 1) AND c.relname = split_part($1, '.', 2)",
        relation,
        Role.SERVICE.value,
        _OF_THE_TENANT,
    )
    return row is not None and bool(row["forced"] and row["guarded"])
