"""`Signature` and the keys that verify one."""

import base64
from datetime import datetime
from enum import Enum
from typing import Any

import strawberry

from subgraph.federation.access import AS_PARENT, PUBLIC
from subgraph.federation.declare import attribute, object_type
from subgraph.federation.scalars import JSON, UInt64
from subgraph.ledger import model
from subgraph.ledger.entry import write_time
from subgraph.ledger.publickey import ECDSA_P256, algorithm_of_pem


@object_type(access=AS_PARENT)
class Signature:
    """A signature and the key that made it."""

    key_id: str = attribute("The hexadecimal SHA-256 of the public key (SPKI, DER).")
    algorithm: str = attribute("The algorithm.")
    value: str = attribute("The signature, DER in base64.")
    bundle: JSON | None = attribute("The signature as a Sigstore bundle, where there is one.")

    @classmethod
    def of(cls, key_id: str, signature: bytes, bundle: Any = None) -> "Signature":
        """The GraphQL object of a signature."""
        return cls(
            key_id=key_id,
            algorithm=ECDSA_P256,
            value=base64.b64encode(signature).decode(),
            bundle=bundle,
        )


@strawberry.enum(description="What a published key signs.")
class KeyPurpose(Enum):
    """What a published key signs."""

    ROOT = strawberry.enum_value("ROOT", description="Delegations and checkpoints.")
    PROVER = strawberry.enum_value("PROVER", description="Proofs of exports.")
    WITNESS = strawberry.enum_value("WITNESS", description="Cosignatures of checkpoints.")


@object_type(access=PUBLIC)
class VerificationKey:
    """A public key to verify with; process keys travel with the events that they sign."""

    key_id: str = attribute("The hexadecimal SHA-256 of the public key (SPKI, DER).")
    purpose: KeyPurpose = attribute("What it signs.")
    algorithm: str = attribute("The algorithm of its signatures.")
    public_key_pem: str = attribute("The key, as PEM.")
    origin: str = attribute("The log that published it.")
    valid_from: datetime = attribute("When it came into use.")
    valid_until: datetime | None = attribute("When it went out of use.")
    revoked_at: datetime | None = attribute("When it was revoked.")
    revoked_at_index: UInt64 | None = attribute(
        "The index of the deployment log from which it no longer counts."
    )

    @property
    def place(self) -> str:
        """Its place among the keys: by age, then by id."""
        return f"{write_time(self.valid_from)} {self.key_id}"

    @classmethod
    def of(cls, key: model.VerificationKey) -> "VerificationKey":
        """The GraphQL object of a key."""
        return cls(
            key_id=key.key_id,
            purpose=KeyPurpose(key.purpose.value),
            algorithm=algorithm_of_pem(key.public_key_pem),
            public_key_pem=key.public_key_pem,
            origin=key.origin,
            valid_from=key.valid_from,
            valid_until=key.valid_until,
            revoked_at=key.revoked_at,
            revoked_at_index=None if key.revoked_at_index is None else UInt64(key.revoked_at_index),
        )
