"""PostgreSQL: pools and roles, tenant binding, migrations, the embedded server."""
