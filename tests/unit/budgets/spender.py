"""A process that spends as much as it is granted, and prints how often that was.

Arguments: the address of the service role, the tenant, how often it tries.
"""

import asyncio
import sys
from datetime import timedelta

from subgraph.budgets.accountant import Accountant
from subgraph.budgets.errors import BudgetRefused
from subgraph.db.service import Database
from subgraph.settings import Settings
from tests.unit.budgets.accounts import charge, request
from tests.unit.ledger.deployment import recording_on


async def spend(url: str, tenant: str, times: int) -> int:
    database = Database.for_service(url, Settings(database_url=url, pool_size=8))
    await database.open()
    ledger = await recording_on(database)
    accountant = Accountant(database, ledger, lease=timedelta(minutes=1))
    given = await asyncio.gather(
        *(accountant.reserve(tenant, request(charge("0.1"))) for _ in range(times)),
        return_exceptions=True,
    )
    await database.close()
    unexpected = [one for one in given if isinstance(one, BaseException)]
    unexpected = [one for one in unexpected if not isinstance(one, BudgetRefused)]
    if unexpected:
        raise unexpected[0]
    return sum(not isinstance(one, BaseException) for one in given)


if __name__ == "__main__":
    print(asyncio.run(spend(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
