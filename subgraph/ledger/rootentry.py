"""Entries of the deployment log that the root signs itself, before they are in a transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from subgraph.errors import JSONValue
from subgraph.kms.contract import Sign
from subgraph.ledger import canonical
from subgraph.ledger.dsse import pae
from subgraph.ledger.entry import PAYLOAD_TYPE, Entry
from subgraph.ledger.model import EventType, KeyPurpose
from subgraph.ledger.publickey import key_id_of_pem
from subgraph.ledger.recording import Batch, WrittenEntry

_ACTOR = "deployment"


@dataclass(frozen=True, slots=True)
class RootEntry:
    """An entry and the root's signature over it."""

    entry: WrittenEntry
    signature: bytes


@dataclass(frozen=True, slots=True)
class Statement:
    """What the root is to say; with an `event_id` it is recorded once, however often it is said."""

    type: EventType
    payload: Mapping[str, JSONValue]
    actor: str = _ACTOR
    event_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class AnnouncedKey:
    """A public key in the plain PEM form; `details` are further members of what is announced."""

    purpose: KeyPurpose
    public_key_pem: str
    details: dict[str, JSONValue] = field(default_factory=dict)

    @property
    def key_id(self) -> str:
        """The key id, of whatever algorithm the key is."""
        return key_id_of_pem(self.public_key_pem)

    def statement(self, origin: str) -> Statement:
        """What the root says of it in the deployment log `origin`."""
        purpose, key_id = self.purpose.value, self.key_id
        return Statement(
            EventType.KEY_ANNOUNCED,
            {
                "keyId": key_id,
                "publicKeyPem": self.public_key_pem,
                "purpose": purpose,
                **self.details,
            },
            event_id=uuid5(NAMESPACE_URL, f"{origin}#{purpose.lower()}-{key_id}"),
        )


async def signed_by_root(root: Sign, origin: str, at: datetime, said: Statement) -> RootEntry:
    """The entry of the deployment log `origin`; raises what `Sign.sign` raises."""
    entry = Entry(
        origin=origin,
        event_id=said.event_id or uuid4(),
        tenant=None,
        type=said.type.value,
        at=at,
        actor=said.actor,
        key_id=root.key_id,
        payload=said.payload,
    )
    encoded = entry.encode()
    signature = await root.sign(pae(PAYLOAD_TYPE, encoded))
    written = WrittenEntry(
        entry.event_id,
        entry.type,
        entry.actor,
        canonical.encode(dict(said.payload), within=1),
        encoded,
        repeatable=said.event_id is not None,
    )
    return RootEntry(written, signature)


def root_batch(origin: str, signed: Sequence[RootEntry]) -> Batch:
    """The entries, to be recorded in the deployment log."""
    return Batch(
        origin,
        None,
        [item.entry for item in signed],
        lambda places: [signed[place].signature for place in places],
    )
