"""Opens a signer from the address of its key."""

from pathlib import Path
from typing import Final

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms import pkcs11_uri
from subgraph.kms.contract import Sign
from subgraph.kms.keyfile import KeyFileSigner
from subgraph.kms.pkcs11 import Pkcs11Signer

DEADLINE_SECONDS: Final = 5.0


async def open_signer(
    uri: str, *, create: bool = False, deadline_seconds: float = DEADLINE_SECONDS
) -> Sign:
    """Return a signer for `file:/path.pem` or `pkcs11:...` (RFC 7512), ready to sign.

    With `create`, a key file that is missing is made; a key in an HSM never is. Raises
    `SubgraphError`: SETTINGS_INVALID for an address that cannot be understood, and otherwise as
    `Sign.sign` does.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "file":
        return KeyFileSigner.open(_path(rest), create=create)
    if scheme == "pkcs11":
        return await Pkcs11Signer.open(pkcs11_uri.parse(uri), seconds=deadline_seconds)
    raise SubgraphError(
        ErrorCode.SETTINGS_INVALID, "the address of a key begins with `file:` or `pkcs11:`"
    )


def _path(rest: str) -> Path:
    path = Path(rest.removeprefix("//"))
    if not path.is_absolute():
        raise SubgraphError(
            ErrorCode.SETTINGS_INVALID, f"a key file needs an absolute path, not {rest!r}"
        )
    return path
