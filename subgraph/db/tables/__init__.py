"""The tables, described once for migrations and for people.

Every table but the migration marker belongs to tenants: its primary key starts with `tenant_id`
and row-level security is forced on it. What belongs to the whole deployment carries the reserved
id `_deployment`, which no tenant can register.
"""

from subgraph.db.tables import (  # noqa: F401 - they enter their tables
    approvals,
    budgets,
    keys,
    ledger,
    tenancy,
)
from subgraph.db.tables.naming import metadata

__all__ = ["metadata"]
