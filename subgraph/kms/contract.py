"""What the service asks of whoever holds a key: to sign with it, or to wrap data keys."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol
from uuid import UUID


class Sign(Protocol):
    """Signs with one P-256 key, for as long as the object is open.

    The key never changes under an open signer: one that finds another key in its place MUST
    refuse. A signer MAY be used by any number of tasks of one event loop at once.
    """

    @property
    def key_id(self) -> str:
        """The SHA-256 digest of the public key (SPKI, DER), in lower-case hexadecimal."""
        ...

    @property
    def public_key_pem(self) -> str:
        """The public key as SPKI in PEM, as `openssl` and `cosign` read it."""
        ...

    @property
    def local(self) -> bool:
        """Whether the key is in the memory of this process.

        A caller MUST NOT sign inside a database transaction unless this is True: the transaction
        would stay open for as long as somebody else's machine takes.
        """
        ...

    async def sign(self, message: bytes) -> bytes:
        """Return an ECDSA signature (DER) over the SHA-256 digest of `message`.

        It MUST hash `message` itself, and MUST NOT block the event loop. It MUST answer within
        its deadline or raise KEY_UNAVAILABLE. It MAY be repeated after KEY_UNAVAILABLE: a
        signature changes nothing at the provider, and two over one message both hold.

        When cancelled it returns at once. A signature that was under way MAY still be made; it
        is discarded. Signatures are not reproducible and MUST NOT serve as identities: whoever
        sees one can make another that holds.

        Raises `SubgraphError`: KEY_UNAVAILABLE (try again), KEY_ACCESS_DENIED (the provider
        refuses our credentials; the signer MUST NOT present them again, lest it locks them),
        KEY_NOT_FOUND, KEY_UNUSABLE (another key, or one that may not sign), KEY_CLOSED.
        """
        ...

    async def close(self) -> None:
        """Give back what the provider holds for us; MAY be called again. `sign` refuses then."""
        ...


class KeyProvider(Enum):
    """Who holds a tenant's key."""

    AWS_KMS = "AWS_KMS"
    GCP_KMS = "GCP_KMS"
    AZURE_KEY_VAULT = "AZURE_KEY_VAULT"
    PKCS11 = "PKCS11"
    OPENBAO = "OPENBAO"
    LOCAL = "LOCAL"


@dataclass(frozen=True, slots=True)
class WrapContext:
    """What a wrapped key is bound to; it is no secret, and shows in the provider's own logs."""

    tenant: str
    data_key_id: UUID
    purpose: str

    @property
    def fields(self) -> dict[str, str]:
        """The context as names and values, for providers that take a map (AWS)."""
        return {
            "tenant": self.tenant,
            "dataKeyId": str(self.data_key_id),
            "purpose": self.purpose,
        }

    @property
    def aad(self) -> bytes:
        """The context as bytes that no other context gives: each value behind its length."""
        parts = [b"kms/wrap/v1", *(value.encode() for value in self.fields.values())]
        return b"".join(len(part).to_bytes(4) + part for part in parts)


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A data key as only the provider can open it, and the exact key version that wrapped it.

    `key_uri` and `provider_version` are kept beside the ciphertext: not every provider's
    ciphertext names them.
    """

    ciphertext: bytes
    key_uri: str
    provider_version: str


@dataclass(frozen=True, slots=True)
class KeyDescription:
    """What a provider says of a key: the version that wraps now, and where the key comes from.

    `origin` (such as AWS_KMS, EXTERNAL, GENERATED) and `protection_level` (such as SOFTWARE, HSM)
    are the provider's words; `region` and `created_at` are None where it does not say.
    """

    provider: KeyProvider
    key_uri: str
    provider_version: str
    origin: str
    protection_level: str
    region: str | None
    created_at: datetime | None


class Wrap(Protocol):
    """Wraps and unwraps data keys with one key of a tenant, for as long as the object is open.

    Every call MUST answer within its deadline, MUST NOT block the event loop, and raises
    `KeyProviderError` with the fault that the provider's answer stands for; an answer that is not
    understood MUST NOT be taken for INTEGRITY or a denial. A wrapper MAY be used by any number of
    tasks of one event loop at once, and calls MAY be repeated. It MUST NOT fall back to another
    key, and MUST do its work at the provider: a wrap that a local copy of a key could make proves
    nothing about the key's state.

    When cancelled a call returns at once; what was under way at the provider is discarded.
    """

    @property
    def provider(self) -> KeyProvider:
        """Who holds the key."""
        ...

    async def describe(self) -> KeyDescription:
        """Return what the provider says of the key now; names the version that wraps."""
        ...

    async def wrap(self, key: bytes, context: WrapContext) -> WrappedKey:
        """Wrap 32 bytes under the key's current version; unwrapping asks for an equal context.

        The version comes from the provider's answer where it names one. Whoever stores the
        result MUST first unwrap it with a wrapper that was opened anew.
        """
        ...

    async def unwrap(self, wrapped: WrappedKey, context: WrapContext) -> bytes:
        """Return the 32 bytes; INTEGRITY when ciphertext, version and context do not fit."""
        ...

    async def rotate(self) -> KeyDescription:
        """Make a new version that wraps from now on; older ones still unwrap.

        Raises CONFIG where the key's owner has to rotate at the provider.
        """
        ...

    async def close(self) -> None:
        """Give back connections and sessions; MAY be called again. UNAVAILABLE afterwards."""
        ...
