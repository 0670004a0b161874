"""Opens a wrapper for a tenant's key from its provider and its address."""

from typing import Final

from subgraph.kms.contract import KeyProvider, Wrap
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.options import KmsOptions

_EXTRAS: Final = {
    KeyProvider.AWS_KMS: "aws",
    KeyProvider.GCP_KMS: "gcp",
    KeyProvider.AZURE_KEY_VAULT: "azure",
    KeyProvider.PKCS11: "pkcs11",
}


async def open_wrap(
    provider: KeyProvider,
    key_uri: str,
    tenant: str,
    options: KmsOptions,
    *,
    create: bool = False,
) -> Wrap:
    """Return a wrapper for the key at `key_uri`; whether the key is there shows when it is used.

    With `create`, which only an attachment may ask for, a LOCAL key that is missing is made; a key
    at any other provider never is. Raises `KeyProviderError` with CONFIG for an address that
    cannot be understood, a provider that the operator has not configured, or one whose libraries
    are not installed.
    """
    try:
        return await _open(provider, key_uri, tenant, options, create=create)
    except ImportError as error:
        if provider not in _EXTRAS:
            raise
        message = (
            f"{provider.value} needs the extra `{_EXTRAS[provider]}`, of which {error.name} is not "
            "installed"
        )
        raise KeyProviderError(KeyFault.CONFIG, message) from None


async def _open(
    provider: KeyProvider, key_uri: str, tenant: str, options: KmsOptions, *, create: bool
) -> Wrap:
    match provider:
        case KeyProvider.AWS_KMS:
            from subgraph.kms.aws import AwsWrap

            return await AwsWrap.open(key_uri, options)
        case KeyProvider.GCP_KMS:
            from subgraph.kms.gcp import GcpWrap

            return await GcpWrap.open(key_uri, options)
        case KeyProvider.AZURE_KEY_VAULT:
            from subgraph.kms.azure import AzureWrap

            return await AzureWrap.open(key_uri, options)
        case KeyProvider.PKCS11:
            from subgraph.kms.pkcs11_wrap import Pkcs11Wrap

            return await Pkcs11Wrap.open(key_uri, options)
        case KeyProvider.OPENBAO:
            from subgraph.kms.openbao import OpenBaoWrap

            return await OpenBaoWrap.open(key_uri, options)
        case KeyProvider.LOCAL:
            from subgraph.kms.local import LocalWrap

            return await LocalWrap.open(key_uri, tenant, options, create=create)
