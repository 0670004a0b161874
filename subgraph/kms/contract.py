"""What the service asks of whoever holds a signing key."""

from typing import Protocol


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
