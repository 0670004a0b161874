"""Customer-managed keys, protected records, their jobs, and the queue of background work.

The queue is PgQueuer's own schema, as its release 1.6 declares it, in the schema `work`.
"""

from alembic import op

from subgraph.db.migrations import scripts
from subgraph.db.migrations.row_security import isolate, open_to_system

revision = "0004"
down_revision = "0003"

_GRANTED = {
    "tenant_cmk": (
        "SELECT, INSERT, UPDATE (provider, key_uri, state, rotate_every_days, last_rotated_at)"
    ),
    "key_version": "SELECT, INSERT, UPDATE (state)",
    "data_key": "SELECT, INSERT, UPDATE (state, key_version, wrapped, wrapped_at)",
    "data_key_count": "SELECT, INSERT, UPDATE (records)",
    "protected_record": (
        "SELECT, INSERT, DELETE, UPDATE (external_id, data_key_id, row_version, fields, updated_at)"
    ),
    "key_job": "SELECT, INSERT, UPDATE",
    "key_job_quarantine": "SELECT, INSERT",
    "key_verdict": "SELECT, INSERT, UPDATE",
    "idempotency": "SELECT, INSERT",
    "ledger_subject": "SELECT, INSERT",
}
"""What the service may do with each table."""


def upgrade() -> None:
    scripts.run("0004_keys.sql")
    for table, granted in _GRANTED.items():
        isolate(table, service=granted)
    for table in ("tenant_cmk", "key_job", "key_verdict"):
        open_to_system(table, privileges="SELECT")
    scripts.run("0004_queue.sql")
    op.execute("REVOKE ALL ON SCHEMA work FROM PUBLIC")
    op.execute("GRANT USAGE ON SCHEMA work TO ig_service, ig_system")
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA work TO ig_system")
    # The service only puts jobs in; what others put in it cannot read.
    shown = "SELECT (id, entrypoint, priority, dedupe_key, status)"
    op.execute(f"GRANT INSERT, {shown} ON work.pgqueuer TO ig_service")
    op.execute("GRANT INSERT ON work.pgqueuer_log TO ig_service")
    op.execute("GRANT USAGE ON ALL SEQUENCES IN SCHEMA work TO ig_service, ig_system")


def downgrade() -> None:
    op.execute("DROP SCHEMA work CASCADE")
    for table in reversed(_GRANTED):
        op.drop_table(table)
