"""Opens a signer from the address of its key."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms import pkcs11_uri
from subgraph.kms.aws_signer import AwsSigner
from subgraph.kms.azure_signer import AzureSigner
from subgraph.kms.contract import Sign
from subgraph.kms.gcp_signer import GcpSigner
from subgraph.kms.keyfile import KeyFileSigner
from subgraph.kms.openbao_signer import OpenBaoSigner
from subgraph.kms.options import KmsOptions
from subgraph.kms.pkcs11 import Pkcs11Signer

DEADLINE_SECONDS: Final = 5.0


async def open_signer(
    uri: str,
    *,
    create: bool = False,
    deadline_seconds: float = DEADLINE_SECONDS,
    options: KmsOptions | None = None,
) -> Sign:
    """Return a signer that is ready to sign.

    Addresses are `file:/path.pem`, `pkcs11:...` (RFC 7512), `aws:arn:...`, `openbao:MOUNT/KEY`,
    `gcp:projects/.../cryptoKeyVersions/N` or `azure:https://VAULT/keys/NAME/VERSION`.
    With `create`, a key file that is missing is made; a key elsewhere never is. `options` say how
    OpenBao, Google and Azure are reached, and AWS if not at its own address. Raises
    `SubgraphError`: SETTINGS_INVALID for an address that cannot be understood or reached from
    here, and otherwise as `Sign.sign` does.
    """
    scheme, _, rest = uri.partition(":")
    if scheme == "file":
        return KeyFileSigner.open(_path(rest), create=create)
    if scheme == "pkcs11":
        return await Pkcs11Signer.open(pkcs11_uri.parse(uri), seconds=deadline_seconds)
    if scheme == "aws":
        endpoint = None if options is None else options.aws_endpoint
        return await AwsSigner.open(rest, seconds=deadline_seconds, endpoint=endpoint)
    if scheme == "openbao" and options is not None:
        return await OpenBaoSigner.open(uri, replace(options, seconds=deadline_seconds))
    if scheme == "gcp" and options is not None:
        return await GcpSigner.open(rest, replace(options, seconds=deadline_seconds))
    if scheme == "azure" and options is not None:
        return await AzureSigner.open(rest, replace(options, seconds=deadline_seconds))
    raise SubgraphError(
        ErrorCode.SETTINGS_INVALID,
        "the address of a key begins with `file:`, `pkcs11:`, `aws:` or, with a server, "
        "`openbao:`, `gcp:` or `azure:`",
    )


def _path(rest: str) -> Path:
    path = Path(rest.removeprefix("//"))
    if not path.is_absolute():
        raise SubgraphError(
            ErrorCode.SETTINGS_INVALID, f"a key file needs an absolute path, not {rest!r}"
        )
    return path
