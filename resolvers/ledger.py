"""`Ledger`, its events, and what proves them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

import strawberry

from resolvers.connections import After, Connection, First, checked_first, page_of, position
from resolvers.context import Info, RequestContext
from resolvers.entities import load_by_id
from resolvers.signatures import Signature
from subgraph.db import ids
from subgraph.db.cursors import ListIdentity
from subgraph.db.ids import EntityId, IdKind
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AS_PARENT, AUTHENTICATED
from subgraph.federation.declare import attribute, field, object_type
from subgraph.federation.scalars import Digest, UInt64
from subgraph.ledger import model
from subgraph.ledger.entry import decode, is_type
from subgraph.ledger.model import DEPLOYMENT
from subgraph.ledger.proof import TlogProof

_MOST_HASHES = 64
Size = Annotated[
    UInt64 | None,
    strawberry.argument(description="The size of a checkpoint; the newest if left out."),
]


def digest(hashed: bytes) -> Digest:
    """A hash as the contract writes it."""
    return Digest(f"sha256:{hashed.hex()}")


@object_type(access=AS_PARENT)
class Checkpoint:
    """A signed state of a log, as a C2SP signed note."""

    note: str = attribute("The note, exactly as it was signed.")
    size: UInt64 = attribute("How many events the log held.")
    root_hash: Digest = attribute("The root of its tree, RFC 6962.")
    signed_at: datetime = attribute("When it was signed.")

    @classmethod
    def of(cls, checkpoint: model.SignedCheckpoint) -> "Checkpoint":
        """The GraphQL object of a checkpoint."""
        return cls(
            note=checkpoint.note,
            size=UInt64(checkpoint.size),
            root_hash=digest(checkpoint.root),
            signed_at=checkpoint.signed_at,
        )


@object_type(access=AS_PARENT)
class InclusionProof:
    """Proves that an event is in the log that a checkpoint commits to, RFC 6962."""

    index: UInt64 = attribute("The place of the event in the log, from 0.")
    tree_size: UInt64 = attribute("The size of the checkpoint.")
    leaf_hash: Digest = attribute("The hash of the event's leaf.")
    hashes: list[Digest] = attribute("The audit path, from the leaf upwards.", at_most=_MOST_HASHES)
    checkpoint: Checkpoint = attribute("The checkpoint.")
    tlog_proof: str = attribute("The same as a portable text, c2sp.org/tlog-proof@v1.")

    @classmethod
    def of(cls, proof: model.Inclusion) -> "InclusionProof":
        """The GraphQL object of a proof."""
        return cls(
            index=UInt64(proof.index),
            tree_size=UInt64(proof.checkpoint.size),
            leaf_hash=digest(proof.leaf),
            hashes=[digest(hashed) for hashed in proof.hashes],
            checkpoint=Checkpoint.of(proof.checkpoint),
            tlog_proof=TlogProof(proof.index, proof.hashes, proof.checkpoint.note).write(),
        )


@object_type(access=AS_PARENT)
class ConsistencyProof:
    """Proves that a log only grew between two sizes, RFC 6962."""

    from_size: UInt64 = attribute("The smaller size.")
    to_size: UInt64 = attribute("The larger size.")
    hashes: list[Digest] = attribute("The proof.", at_most=_MOST_HASHES)


@object_type(access=AUTHENTICATED, key="id")
class LedgerEvent:
    """Something that happened, as it stands in the log."""

    record: strawberry.Private[model.RecordedEvent]
    id: strawberry.ID = attribute("The id of the event.")
    index: UInt64 = attribute("Its place in the log, from 0.")
    type: str = attribute("What happened.")
    at: datetime = attribute("When it was recorded.")
    actor: str = attribute("Who caused it, a pseudonymous id.")
    entry: str = attribute("The exact text that was hashed.")
    leaf_hash: Digest = attribute("The hash of its leaf, RFC 6962.")
    signature: Signature = attribute("The signature over the entry.")

    @field()
    async def inclusion(self, info: Info, size: Size = None) -> InclusionProof | None:
        """The proof that it is in the log; null until a checkpoint covers it."""
        wanted = None if size is None else int(size)
        key = (self.record.tenant, self.record.index, wanted)
        proof = await info.context.loaders.inclusions.load(key)
        return None if proof is None else InclusionProof.of(proof)

    @classmethod
    def of(cls, event: model.RecordedEvent) -> "LedgerEvent":
        """The GraphQL object of an event."""
        entry = decode(event.entry)
        return cls(
            record=event,
            id=event_id(event),
            index=UInt64(event.index),
            type=event.type,
            at=entry.at,
            actor=entry.actor,
            entry=event.entry.decode(),
            leaf_hash=digest(event.leaf),
            signature=Signature.of(entry.key_id, event.signature),
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["LedgerEvent | None"]:
        """The events with these ids; one statement."""
        loader = context.loaders.ledger_events
        return await load_by_id(IdKind.LEDGER_EVENT, keys, loader, _key, cls.of)


@object_type(access=AS_PARENT)
class Ledger:
    """An append-only log that outsiders can verify."""

    head: strawberry.Private[model.Head]
    origin: str = attribute("The name of the log.")
    size: UInt64 = attribute("How many events it holds.")
    root_hash: Digest = attribute("The root of its tree, RFC 6962.")

    @field()
    async def checkpoint(self, info: Info, size: Size = None) -> Checkpoint | None:
        """The newest checkpoint, or the one at a size; null if there is none."""
        reader = info.context.services.ledger
        found = await reader.checkpoint(self.head.tenant, None if size is None else int(size))
        return None if found is None else Checkpoint.of(found)

    @field(paged=True)
    async def events(
        self,
        info: Info,
        first: First = 50,
        after: After = None,
        type: Annotated[
            str | None, strawberry.argument(description="Only events of this type.")
        ] = None,
    ) -> Connection[LedgerEvent] | None:
        """The events, oldest first."""
        checked_first(first)
        if type is not None and not is_type(type):
            message = "`type` is the name of an event, as in `dataset.registered`."
            raise SubgraphError(ErrorCode.BAD_USER_INPUT, message)
        services = info.context.services
        ordering = "index" if type is None else f"index where type is {type}"
        identity = ListIdentity("ledger", self.head.origin, ordering)
        behind = position(services.cursors, identity, after)
        found = await services.ledger.events(
            self.head.tenant,
            first=first + 1,
            after=None if behind is None else int(behind),
            type=type,
        )
        return page_of(
            [LedgerEvent.of(event) for event in found],
            first=first,
            after=after,
            cursors=services.cursors,
            of=identity,
            place=lambda event: event.record.index,
        )

    @field()
    async def event(
        self,
        info: Info,
        id: Annotated[strawberry.ID, strawberry.argument(description="The id of the event.")],
    ) -> LedgerEvent | None:
        """One event of this log."""
        entity = ids.decode(IdKind.LEDGER_EVENT, id)
        if entity is None or _log(entity.tenant) != self.head.tenant:
            return None
        key = (self.head.tenant, entity.key)
        found = await info.context.loaders.ledger_events.load(key)
        return None if found is None else LedgerEvent.of(found)

    @field()
    async def consistency(
        self,
        info: Info,
        from_size: Annotated[UInt64, strawberry.argument(description="The smaller size.")],
        to_size: Annotated[UInt64, strawberry.argument(description="The larger size.")],
    ) -> ConsistencyProof | None:
        """The proof that the log only grew between two sizes."""
        reader = info.context.services.ledger
        proof = await reader.consistency(self.head.tenant, int(from_size), int(to_size))
        return ConsistencyProof(
            from_size=UInt64(proof.from_size),
            to_size=UInt64(proof.to_size),
            hashes=[digest(hashed) for hashed in proof.hashes],
        )

    @classmethod
    async def read(cls, tenant: str | None, context: RequestContext) -> "Ledger":
        """The ledger of a tenant, or of the deployment."""
        head = await context.services.ledger.head(tenant)
        return cls(
            head=head, origin=head.origin, size=UInt64(head.size), root_hash=digest(head.root)
        )


def event_id(event: model.RecordedEvent) -> strawberry.ID:
    """The public id of an event."""
    return strawberry.ID(
        ids.encode(IdKind.LEDGER_EVENT, event.tenant or DEPLOYMENT, event.event_id)
    )


def _log(tenant: str) -> str | None:
    return None if tenant == DEPLOYMENT else tenant


def _key(entity: EntityId) -> tuple[str | None, UUID]:
    return _log(entity.tenant), entity.key
