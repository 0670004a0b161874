"""A process that appends until it is killed, and says what was acknowledged.

Arguments: the address of the service role, the tenant, the first number. It prints each number
once the transaction with its event is committed.
"""

import asyncio
import sys
from datetime import timedelta
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec

from subgraph.db.service import Database
from subgraph.kms.keyfile import KeyFileSigner
from subgraph.ledger.model import EventType, NewEvent
from subgraph.ledger.root import RootKey
from subgraph.ledger.service import Ledger
from subgraph.ledger.signing import ProcessKeys
from subgraph.settings import Settings

BASE = "ledger.test"
BATCH = 5


async def write(url: str, tenant: str, number: int, root: KeyFileSigner) -> None:
    database = Database.for_service(url, Settings(database_url=url, pool_size=1))
    await database.open()
    keys = ProcessKeys(database, RootKey.of(root), BASE, lifetime=timedelta(hours=1))
    await keys.renew()
    ledger = Ledger(BASE, keys)
    while True:
        events = [
            NewEvent(
                EventType.DATASET_REGISTERED, "writer", tenant, {"number": n}, event_id=UUID(int=n)
            )
            for n in range(number, number + BATCH)
        ]
        async with database.transaction(tenant) as transaction:
            await ledger.append_many(transaction, events)
        for n in range(number, number + BATCH):
            print(n, flush=True)
        number += BATCH


if __name__ == "__main__":
    asyncio.run(
        write(
            sys.argv[1], sys.argv[2], int(sys.argv[3]),
            KeyFileSigner(ec.generate_private_key(ec.SECP256R1())),
        )
    )  # fmt: skip
