"""Which keys a tenant may name where all tenants' keys are reached with the operator's credentials.

At OPENBAO and PKCS11 nothing but the address tells one tenant's key from another's: a tenant that
could name any address could have its data keys wrapped under somebody else's key, and would know
from the answers which keys there are. So a key there bears the name of its tenant: `TENANT`, or
`TENANT.` and whatever else. Ids of tenants hold no dot, so no name belongs to two tenants.
The other providers ask the key's own policy; a LOCAL key is in its tenant's folder.
"""

from subgraph.errors import InvalidField, SubgraphError
from subgraph.kms.contract import KeyProvider
from subgraph.kms.faults import KeyFault, KeyProviderError


def check_owner(tenant: str, provider: KeyProvider, key_uri: str) -> None:
    """Raise `INVALID_INPUT` for a key that is not named after `tenant`, whether it is there or not.

    Raises `KeyProviderError` with CONFIG for an address that cannot be understood.
    """
    name = _shared_name(provider, key_uri)
    if name is None or name == tenant or name.startswith(f"{tenant}."):
        return
    message = (
        f"a key at {provider.value} is named after its tenant: `{tenant}`, or a name that begins "
        f"with `{tenant}.`"
    )
    raise InvalidField(message, ("input", "keyUri"))


def _shared_name(provider: KeyProvider, key_uri: str) -> str | None:
    """The key's own name at a provider that all tenants share, else None."""
    if provider is KeyProvider.OPENBAO:
        from subgraph.kms.openbao_client import TransitKey

        return TransitKey.parse(key_uri).name
    if provider is KeyProvider.PKCS11:
        from subgraph.kms import pkcs11_uri

        if "?" in key_uri:
            raise KeyProviderError(KeyFault.CONFIG, "the operator names the library and the PIN")
        try:
            # The library is the operator's to name; any path makes the address complete.
            return pkcs11_uri.parse(f"{key_uri}?module-path=/").object_label or ""
        except SubgraphError as error:
            raise KeyProviderError.of(error) from None
    return None
