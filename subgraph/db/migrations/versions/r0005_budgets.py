"""Privacy budgets: policies, windows, reservations, the spend log, releases, overrides, tickets."""

from alembic import op

from subgraph.db.migrations import scripts
from subgraph.db.migrations.row_security import isolate, open_to_system

revision = "0005"
down_revision = "0004"

_GRANTED = {
    "dp_policy": "SELECT, INSERT",
    "dp_budget": (
        "SELECT, INSERT, UPDATE (epsilon_limit, policy_version, epsilon_granted, epsilon_spent,"
        " epsilon_reserved, seq, head, alerted_at, anchored_seq)"
    ),
    "dp_reservation": "SELECT, INSERT, UPDATE (holder, epoch, lease_until)",
    "dp_spend": "SELECT, INSERT, UPDATE (state, settled_at)",
    "dp_release": "SELECT, INSERT",
    "dp_override": "SELECT, INSERT",
    "dataset_version": "SELECT, INSERT",
    "dp_ticket": (
        "SELECT, INSERT, UPDATE (promised, state, failure, result, holder, epoch, lease_until,"
        " settled_at)"
    ),
}
"""What the service may do with each table."""

_OPEN_TO_SYSTEM = {
    "dp_policy": "SELECT",
    "dp_budget": "SELECT, UPDATE (epsilon_limit, policy_version, epsilon_reserved)",
    "dp_reservation": "SELECT, UPDATE (lease_until)",
    "dp_spend": "SELECT, UPDATE (state, settled_at)",
    "dp_ticket": (
        "SELECT, UPDATE (promised, state, failure, result, holder, epoch, lease_until, settled_at)"
    ),
}
"""What the workers do across tenants: forfeit, expire, and claim tickets."""

_APPEND_ONLY = ("dp_policy", "dp_release", "dp_override", "dataset_version")

_FUNCTIONS = {
    "dp_instant(timestamptz)": "ig_service",
    "dp_window(text, timestamptz)": "ig_service",
    "dp_genesis(text, timestamptz)": "ig_service",
    "dp_is_low(dp_budget)": "ig_service",
    "dp_open_window(text, timestamptz)": "ig_service",
    "dp_hold(text)": "ig_service, ig_system",
    "dp_reserve(text, uuid, text, bytea, uuid, interval, uuid, integer, boolean, uuid[], uuid[],"
    " bytea[], numeric[], text[])": "ig_service",
    "dp_forfeit(text, uuid[])": "ig_service, ig_system",
    "dp_promise(text, uuid, text, bytea, text, text, text, numeric, timestamptz)": "ig_service",
    "dp_settle_ticket(text, uuid, text[], integer, text, text, text)": "ig_service, ig_system",
}
"""Each function, and who calls it; they run under the row security of the caller."""


def upgrade() -> None:
    scripts.run("0005_budgets.sql")
    for table, granted in _GRANTED.items():
        isolate(table, service=granted)
    for table, granted in _OPEN_TO_SYSTEM.items():
        open_to_system(table, privileges=granted)
    op.execute("GRANT UPDATE (version) ON dataset TO ig_service")
    scripts.run("0005_accountant.sql")
    for function, roles in _FUNCTIONS.items():
        op.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {roles}")
    for table in _APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION dp_refuse()"
        )
    for table in sorted(_GRANTED.keys() - set(_APPEND_ONLY)):
        op.execute(
            f"CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION dp_refuse()"
        )


def downgrade() -> None:
    for function in reversed(_FUNCTIONS):
        op.execute(f"DROP FUNCTION {function}")
    for table in reversed(_GRANTED):
        op.drop_table(table)
    op.execute("DROP FUNCTION dp_refuse()")
    op.execute("REVOKE UPDATE (version) ON dataset FROM ig_service")
