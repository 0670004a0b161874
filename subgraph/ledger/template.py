"""Entries that differ in little, written without writing what they share again."""

from dataclasses import dataclass
from uuid import UUID

from subgraph.ledger import canonical
from subgraph.ledger.entry import Entry, check_length, write_time
from subgraph.ledger.errors import EntryInvalid, Finding


@dataclass(frozen=True, slots=True)
class EntryTemplate:
    """What entries of one log, time, key, actor and type share: texts between their own members.

    RFC 8785 puts the members in the order of their names, so each stands at the same place in
    every entry.
    """

    head: bytes
    middle: bytes
    tail: bytes

    @classmethod
    def of(cls, sample: Entry) -> "EntryTemplate":
        """The template of entries like this one; its event id and payload do not matter."""
        actor, key_id, origin, kind = (
            canonical.encode(text)
            for text in (sample.actor, sample.key_id, sample.origin, sample.type)
        )
        at = canonical.encode(write_time(sample.at))
        tenant, version = canonical.encode(sample.tenant), canonical.encode(sample.schema_version)
        return cls(
            b'{"actor":%b,"at":%b,"eventId":"' % (actor, at),
            b'","keyId":%b,"origin":%b' % (key_id, origin),
            b',"schemaVersion":%b,"tenant":%b,"type":%b}' % (version, tenant, kind),
        )

    def encode(self, event_id: UUID, payload: bytes | None, commitment: str | None) -> bytes:
        """The bytes that `Entry.encode` gives for the same members; EntryInvalid as there.

        `payload` is the canonical text of an object, `commitment` is made by
        `subgraph.ledger.entry.commitment`.
        """
        if payload is None and commitment is None:
            raise EntryInvalid(Finding.ENTRY_MALFORMED, "an entry has a payload or commits to one")
        parts = [self.head, str(event_id).encode(), self.middle]
        if payload is not None:
            parts += (b',"payload":', payload)
        if commitment is not None:
            parts.append(b',"payloadCommitment":"%b"' % commitment.encode())
        parts.append(self.tail)
        content = b"".join(parts)
        check_length(content)
        return content
