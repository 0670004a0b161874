"""Row-level security for a tenant table, the same in every migration."""

from alembic import op


def isolate(table: str, *, service: str) -> None:
    """Force row-level security on `table` and grant `service` (privileges) to the service role.

    The service sees the rows of the tenant that is bound, and none when none is. The owner, who
    only migrates, has a policy of its own because FORCE binds it too.
    """
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(
        f"CREATE POLICY tenant_isolation ON {table} TO ig_service"
        " USING (tenant_id = current_setting('ig.tenant', true))"
        " WITH CHECK (tenant_id = current_setting('ig.tenant', true))"
    )
    op.execute(
        f"CREATE POLICY owner_migrates ON {table} TO ig_owner USING (true) WITH CHECK (true)"
    )
    op.execute(f"GRANT {service} ON {table} TO ig_service")


def open_to_system(table: str, *, privileges: str) -> None:
    """Let the system role take `privileges` on the rows of every tenant in `table`."""
    op.execute(f"CREATE POLICY system_work ON {table} TO ig_system USING (true) WITH CHECK (true)")
    op.execute(f"GRANT {privileges} ON {table} TO ig_system")
