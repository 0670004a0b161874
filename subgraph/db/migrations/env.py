"""Alembic's entry: runs the revisions on the connection that `subgraph.db.migrate` hands over."""

from alembic import context

from subgraph.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
)
context.run_migrations()
