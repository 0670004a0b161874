"""What `ig ledger export` and `ig ledger fsck` do with the database and the root key."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from subgraph import settings
from subgraph.cli import running
from subgraph.db.service import Database
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms.contract import Sign
from subgraph.ledger.bundle import message_bundle
from subgraph.ledger.export import export_slice
from subgraph.ledger.fsck import Fault, fsck
from subgraph.ledger.publickey import PublicKey
from subgraph.ledger.runtime import LedgerRuntime
from subgraph.settings import Settings


async def export(
    data_dir: Path | None, tenant: str | None, start: int, end: int | None, out: Path
) -> list[Path]:
    """Write the slice and, beside it, its raw signature, its Sigstore bundle and `cosign.pub`.

    Returns the paths. Raises `INVALID_INPUT` for a range without a checkpoint or a path that
    cannot be written, `CHECKPOINT_UNAVAILABLE` until the delegations are covered by one.
    """
    configured = _configured(data_dir)
    async with _ledger(configured) as (ledger, root):
        content = await export_slice(ledger.reader, tenant, start, end)
        signature = await root.sign(content)
    key = PublicKey.from_pem(root.public_key_pem.encode())
    bundle = json.dumps(message_bundle(content, signature, key)).encode()
    files = {
        out: content,
        out.with_name(f"{out.name}.sig"): signature,
        out.with_name(f"{out.name}.sigstore.json"): bundle,
        out.with_name("cosign.pub"): root.public_key_pem.encode(),
    }
    try:
        for path, written in files.items():
            path.write_bytes(written)
    except OSError as error:
        message = f"{error.filename}: {error.strerror}"
        raise SubgraphError(ErrorCode.INVALID_INPUT, message) from None
    return list(files)


async def check(data_dir: Path | None) -> tuple[list[str], int]:
    """Everything that is wrong with the ledgers in the database, and how many there are."""
    configured = _configured(data_dir)
    if configured.database_system_url is None:
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, "IG_DATABASE_SYSTEM_URL is not set")
    async with _ledger(configured) as (_, root):
        trusted = [PublicKey.from_pem(root.public_key_pem.encode())]
    result = await fsck(configured.database_system_url, trusted)
    return [_sentence(fault) for fault in result.faults], result.logs


def _configured(data_dir: Path | None) -> Settings:
    return running.reachable(running.data_dir(settings.load(os.environ), data_dir))


@asynccontextmanager
async def _ledger(configured: Settings) -> AsyncIterator[tuple[LedgerRuntime, Sign]]:
    if configured.database_url is None:
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, "DATABASE_URL is not set")
    database = Database.for_service(configured.database_url, configured)
    await database.open()
    ledger = LedgerRuntime(configured, database)
    try:
        yield ledger, await ledger.root()
    finally:
        await ledger.close()
        await database.close()


def _sentence(fault: Fault) -> str:
    place = "" if fault.place is None else f" at {fault.place}"
    return f"{fault.damage.name}: {fault.tenant}{place}: {fault.damage.value}"
