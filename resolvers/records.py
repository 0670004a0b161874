"""`ProtectedRecord` and its fields."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Protocol
from uuid import UUID

import strawberry

from resolvers.connections import Connection, checked_first, page_of, position
from resolvers.context import Info, RequestContext
from resolvers.entities import by_tenant, load_by_id
from resolvers.keys import KeyVersion
from subgraph.db import ids
from subgraph.db.cursors import ListIdentity
from subgraph.db.ids import IdKind
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation import declare
from subgraph.federation.access import AS_PARENT, scope
from subgraph.federation.declare import attribute, object_type
from subgraph.keys.records.cipher import field_names
from subgraph.keys.records.model import RecordPage, StoredRecord
from subgraph.keys.records.rules import is_object_type
from subgraph.policy.scopes import Scope


class Marking(Protocol):
    """What values are shown under, where they may only be shown marked."""

    async def marked(self, record: StoredRecord, name: str, value: str) -> str:
        """Record the reading of a value, then return it with its marker; raises if it may not."""
        ...


class Opening:
    """Decrypts a record once, for all its fields that one answer shows."""

    def __init__(
        self, record: StoredRecord, context: RequestContext, marking: Marking | None
    ) -> None:
        self._record = record
        self._context = context
        self._marking = marking
        self._opened: asyncio.Task[dict[str, str]] | None = None

    async def value(self, name: str) -> str | None:
        """The value of a field; None if there is no such field.

        Raises `FORBIDDEN` where the caller may not decrypt what is the tenant's.
        """
        if not await self._context.allows(Scope.RECORDS_DECRYPT, self._record.tenant_id):
            raise SubgraphError(ErrorCode.FORBIDDEN)
        if self._opened is None:
            records = self._context.services.records
            self._opened = asyncio.create_task(records.open(self._record))
        values = await asyncio.shield(self._opened)
        value = values.get(name)
        if value is None or self._marking is None:
            return value
        return await self._marking.marked(self._record, name, value)


@object_type(access=AS_PARENT)
class ProtectedField:
    """A field of a record; its value is encrypted."""

    opening: strawberry.Private[Opening]
    name: str = attribute("The name of the field, which is not encrypted.")

    @declare.field(access=scope(Scope.RECORDS_DECRYPT))
    async def value(self) -> str | None:
        """The value, decrypted for this answer."""
        return await self.opening.value(self.name)


@object_type(access=scope(Scope.RECORDS_READ), key="id")
class ProtectedRecord:
    """A record whose fields are encrypted under its tenant's key."""

    record: strawberry.Private[StoredRecord]
    marking: strawberry.Private[Marking | None]
    id: strawberry.ID = attribute("The id of the record.")
    external_id: str | None = attribute("The caller's own name for it, which is not encrypted.")
    object_type: str = attribute("What kind of record it is.")
    created_at: datetime = attribute("When it was stored.")
    updated_at: datetime = attribute("When it was last replaced.")

    @declare.field(access=scope(Scope.KEYS_READ))
    async def key_version(self, info: Info) -> KeyVersion | None:
        """The version of the key that it depends on."""
        key = (self.record.tenant_id, self.record.key_version)
        found = await info.context.loaders.numbered_versions.load(key)
        return None if found is None else KeyVersion.of(found)

    @declare.field()
    def field(
        self,
        info: Info,
        name: Annotated[str, strawberry.argument(description="The name of the field.")],
    ) -> ProtectedField | None:
        """One field; null if the record has none of this name."""
        if name not in field_names(self.record.fields):
            return None
        return ProtectedField(opening=Opening(self.record, info.context, self.marking), name=name)

    @declare.field(at_most=200)
    def fields(self, info: Info) -> list[ProtectedField]:
        """All fields, by name."""
        opening = Opening(self.record, info.context, self.marking)
        return [
            ProtectedField(opening=opening, name=name) for name in field_names(self.record.fields)
        ]

    @classmethod
    def of(cls, record: StoredRecord, marking: Marking | None = None) -> "ProtectedRecord":
        """The GraphQL object of a record; with `marking`, values are shown marked only."""
        return cls(
            record=record,
            marking=marking,
            id=record_id(record),
            external_id=record.external_id,
            object_type=record.object_type,
            created_at=record.created_at,
            updated_at=record.updated_at,
        )

    @classmethod
    async def load_many(
        cls, keys: Sequence[str], context: RequestContext
    ) -> Sequence["ProtectedRecord | None"]:
        """The records with these ids; one statement."""
        loader = context.loaders.records
        return await load_by_id(IdKind.PROTECTED_RECORD, keys, loader, by_tenant, cls.of)


def record_id(record: StoredRecord) -> strawberry.ID:
    """The public id of a record."""
    return strawberry.ID(ids.encode(IdKind.PROTECTED_RECORD, record.tenant_id, record.record_id))


async def record_page(
    context: RequestContext, tenant: str, first: int, after: str | None, object_type: str | None
) -> Connection[ProtectedRecord]:
    """A page of a tenant's records, in the order of their ids."""
    checked_first(first)
    if object_type is not None and not is_object_type(object_type):
        raise SubgraphError(ErrorCode.BAD_USER_INPUT, "`objectType` is no type of records.")
    cursors = context.services.cursors
    ordering = "id" if object_type is None else f"id where type is {object_type}"
    identity = ListIdentity("records", tenant, ordering)
    behind = position(cursors, identity, after)
    page = RecordPage(first + 1, None if behind is None else UUID(str(behind)), object_type)
    found = await context.loaders.record_pages.load((tenant, page))
    return page_of(
        [ProtectedRecord.of(record) for record in found],
        first=first,
        after=after,
        cursors=cursors,
        of=identity,
        place=lambda shown: str(shown.record.record_id),
    )
