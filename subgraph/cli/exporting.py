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
from subgraph.ledger.reading import LedgerReader
from subgraph.ledger.runtime import open_root
from subgraph.settings import Settings

_KEY_NAME = "cosign.pub"


async def export(
    data_dir: Path | None, tenant: str | None, start: int, end: int | None, out: Path
) -> list[Path]:
    """Write the slice and, beside it, its raw signature, its Sigstore bundle and `cosign.pub`.

    Returns the paths. Raises `INVALID_INPUT` for a range without a checkpoint or a path that
    cannot be written, `CHECKPOINT_UNAVAILABLE` until the delegations are covered by one.
    """
    _refuse_name(out)
    configured = _configured(data_dir)
    async with _root(configured) as root, _reader(configured) as reader:
        content = await export_slice(reader, tenant, start, end)
        signature = await root.sign(content)
        pem = root.public_key_pem.encode()
    bundle = json.dumps(message_bundle(content, signature, PublicKey.from_pem(pem))).encode()
    files = {
        out: content,
        out.with_name(f"{out.name}.sig"): signature,
        out.with_name(f"{out.name}.sigstore.json"): bundle,
        out.with_name(_KEY_NAME): pem,
    }
    try:
        _refuse_other_key(out.with_name(_KEY_NAME), pem)
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
    async with _root(configured) as root:
        trusted = [PublicKey.from_pem(root.public_key_pem.encode())]
    result = await fsck(configured.database_system_url, trusted)
    return [_sentence(fault) for fault in result.faults], result.logs


def _refuse_name(out: Path) -> None:
    if out.name in ("", "..", _KEY_NAME):
        message = f"--out {out} is not the name of a file that the slice can be written to"
        raise SubgraphError(ErrorCode.INVALID_INPUT, message)


def _refuse_other_key(path: Path, pem: bytes) -> None:
    """Another key under this name may be the one that somebody trusts."""
    if path.exists() and path.read_bytes() != pem:
        message = f"{path} is another key than the root's: choose another folder"
        raise SubgraphError(ErrorCode.INVALID_INPUT, message)


def _configured(data_dir: Path | None) -> Settings:
    return running.reachable(running.data_dir(settings.load(os.environ), data_dir))


@asynccontextmanager
async def _root(configured: Settings) -> AsyncIterator[Sign]:
    try:
        root = await open_root(configured, create=False)
    except SubgraphError as error:
        if configured.ledger_root_key is not None or error.code is not ErrorCode.KEY_NOT_FOUND:
            raise
        message = f"no root key: set IG_LEDGER_ROOT_KEY; there is none in {configured.data_path}"
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, message) from None
    try:
        yield root
    finally:
        await root.close()


@asynccontextmanager
async def _reader(configured: Settings) -> AsyncIterator[LedgerReader]:
    if configured.database_url is None:
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, "DATABASE_URL is not set")
    database = Database.for_service(configured.database_url, configured)
    await database.open()
    try:
        yield LedgerReader(database, configured.ledger_origin)
    finally:
        await database.close()


def _sentence(fault: Fault) -> str:
    place = "" if fault.place is None else f" at {fault.place}"
    return f"{fault.damage.name}: {fault.tenant}{place}: {fault.damage.value}"
