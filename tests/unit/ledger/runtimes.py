"""A `LedgerRuntime` on a real database, and a witness of its deployment log."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from subgraph.db.roles import Role
from subgraph.db.service import Database
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.settings import Settings
from tests.unit.db.scratch import Scratch
from tests.unit.ledger.deployment import BASE
from tests.unit.ledger.witness.logs import Log, WitnessProcess


@asynccontextmanager
async def started(scratch: Scratch, settings: Settings) -> AsyncIterator[LedgerRuntime]:
    url = scratch.url(Role.SERVICE)
    own = msgspec.structs.replace(settings, database_url=url, ledger_origin=BASE)
    database = Database.for_service(url, own)
    await database.open()
    runtime = LedgerRuntime(own, database)
    try:
        await runtime.start()
        yield runtime
    finally:
        await runtime.close()
        await database.close()


def witnessed(settings: Settings, folder: Path, process: WitnessProcess) -> Settings:
    return msgspec.structs.replace(
        settings,
        data_dir=str(folder),
        witness_url=process.url,
        witness_verifiers_file=str(process.folder / "verifiers"),
    )


async def deployment_witness(
    scratch: Scratch, settings: Settings, folder: Path, data: Path
) -> WitnessProcess:
    """A witness of the deployment log, whose root is the one in the data folder."""
    alone = msgspec.structs.replace(settings, data_dir=str(data), witness_url="off")
    async with started(scratch, alone) as runtime:
        pem = (await runtime.root()).public_key_pem
    folder.mkdir()
    process = WitnessProcess(folder, [Log(f"{BASE}/deployment", pem=pem)])
    return await process.start()
