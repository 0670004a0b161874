"""The tables, described once for migrations and for people.

Every table but the migration marker belongs to tenants: its primary key starts with `tenant_id`
and row-level security is forced on it. What belongs to the whole deployment carries the reserved
id `_deployment`, which no tenant can register. `TENANT_TABLES` names the tables for the
migrations' policies.
"""

from subgraph.db.tables import budgets, ledger, tenancy  # noqa: F401 - they enter their tables
from subgraph.db.tables.naming import metadata

__all__ = ["TENANT_TABLES", "metadata"]

TENANT_TABLES = tuple(metadata.tables)
