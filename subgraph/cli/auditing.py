"""What `ig budgets verify` does with the database."""

import os
from datetime import datetime
from pathlib import Path

from subgraph import settings
from subgraph.budgets import audit
from subgraph.budgets.verify import SpendReport
from subgraph.cli import running
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError


async def verify(
    data_dir: Path | None, tenant: str, window_start: datetime | None
) -> list[SpendReport]:
    """Verify a tenant's spend logs, or that of one window.

    Raises `SpendLogInvalid`, and `INVALID_INPUT` for a window that was never used.
    """
    configured = running.reachable(running.data_dir(settings.load(os.environ), data_dir))
    if configured.database_url is None:
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, "DATABASE_URL is not set")
    database = Database.for_service(configured.database_url, configured)
    await database.open()
    try:
        if window_start is None:
            return await audit.verify_tenant(database, tenant)
        report = await audit.verify_window(database, tenant, window_start)
    finally:
        await database.close()
    if report is None:
        raise SubgraphError(ErrorCode.INVALID_INPUT, "no window of this tenant starts then")
    return [report]
