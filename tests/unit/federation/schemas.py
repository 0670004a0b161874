"""Small schemas, made with the declarations of the house."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import PUBLIC
from subgraph.federation.declare import attribute, field, object_type
from subgraph.federation.lifecycle import LifecycleRecord
from subgraph.federation.schema import GovernanceSchema


@dataclass(frozen=True)
class Record:
    """A lifecycle record."""

    coordinate: str
    id: str = "DEP-2026-001"
    since: datetime.date = datetime.date(2026, 1, 1)
    until: datetime.date = datetime.date(2026, 6, 1)
    grace: datetime.timedelta = datetime.timedelta(days=30)
    replacement: str | None = None
    sentence: str = "It goes. Works until 2026-06-01."


@dataclass
class Context:
    """A caller that holds `scopes`; None is one without a token."""

    scopes: frozenset[str] | None = frozenset()
    asked: int = 0

    def require(self, access: Any) -> None:
        self.asked += 1
        if self.scopes is None:
            raise SubgraphError(ErrorCode.UNAUTHENTICATED)
        if access.scope is not None and access.scope not in self.scopes:
            raise SubgraphError(ErrorCode.FORBIDDEN, access.scope)


@object_type(access=PUBLIC, name="_Service")
class Service:
    """What a composer asks for."""

    sdl: str | None = attribute("The document.")


@object_type(access=None)
class Root:
    """The part of every query type that federation asks for."""

    @field(access=PUBLIC, name="_service")
    def service(self) -> Service | None:
        """The document of the schema."""
        return None


def returning(type_: Any, **options: Any) -> type:
    """A query type whose only field answers `type_`."""

    @object_type(access=None)
    class Query(Root):
        """What can be read."""

        @field(**{"access": PUBLIC, **options})
        def item(self) -> type_ | None:
            """An item."""
            return None

    return Query


@object_type(access=PUBLIC)
class Plain:
    """A plain object."""

    name: str = attribute("The name.")


def build(
    query: type | None = None,
    *,
    mutation: type | None = None,
    records: Iterable[LifecycleRecord] = (),
    types: Iterable[type] = (),
) -> GovernanceSchema:
    """The schema of a query type; without one, of a type with one plain object."""
    return GovernanceSchema(
        query=query or returning(Plain), mutation=mutation, records=records, types=types
    )
