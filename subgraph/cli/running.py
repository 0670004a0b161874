"""Where the parts of a stack on this machine are, for commands that need them."""

import json
from pathlib import Path

import msgspec

from subgraph.db.datafolder import DataFolder
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.settings import Settings

_NAME = "database.json"
_FIELDS = (
    "database_url",
    "database_system_url",
    "database_owner_url",
    "ledger_origin",
    "ledger_root_key",
    "witness_url",
    "witness_verifiers_file",
)


def describe(folder: DataFolder, settings: Settings) -> None:
    """Leave the addresses in the data folder, for this user only, while the stack runs."""
    addresses = {name: getattr(settings, name) for name in _FIELDS}
    folder.write_private(_NAME, json.dumps(addresses).encode())


def forget(folder: DataFolder) -> None:
    """Take the addresses back: the stack has stopped."""
    folder.remove_private(_NAME)


def reachable(settings: Settings) -> Settings:
    """The settings as they are, or with the addresses of the stack that runs on the data folder.

    Raises `SETTINGS_INVALID` when neither the environment nor the data folder names a database.
    """
    if settings.database_url is not None or settings.database_system_url is not None:
        return settings
    try:
        addresses = json.loads((settings.data_path / "private" / _NAME).read_bytes())
    except OSError:
        message = f"no database: set DATABASE_URL, or start `ig demo` on {settings.data_path}"
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, message) from None
    return msgspec.structs.replace(settings, **addresses)


def data_dir(settings: Settings, chosen: Path | None) -> Settings:
    """The settings with the data folder that the command line names, if it does."""
    return settings if chosen is None else msgspec.structs.replace(settings, data_dir=str(chosen))
