"""Connections with keyset cursors."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar
from uuid import UUID

import strawberry

from subgraph.db.cursors import CursorCodec, KeysetValue, ListIdentity
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation.access import AS_PARENT
from subgraph.federation.declare import attribute, field, object_type

T = TypeVar("T")

LONGEST_PAGE = 100

First = Annotated[
    int, strawberry.argument(description="How many items at the most, from 1 to 100.")
]
After = Annotated[
    str | None, strawberry.argument(description="The cursor that the page starts behind.")
]


@object_type(access=AS_PARENT, shareable=True)
class PageInfo:
    """Where a page stands in its list."""

    has_next_page: bool = attribute("Whether items follow this page.")
    has_previous_page: bool = attribute("Whether items precede this page.")
    start_cursor: str | None = attribute("The cursor of the first item.")
    end_cursor: str | None = attribute("The cursor of the last item.")


@object_type(access=AS_PARENT)
class Edge(Generic[T]):
    """An item and its place in the list."""

    cursor: str = attribute("The place of the item, for `after`.")
    node: T = attribute("The item.")


@object_type(access=AS_PARENT)
class Connection(Generic[T]):
    """A page of a list."""

    items: strawberry.Private[Sequence[object]]
    cursor_of: strawberry.Private[Callable[[object], str]]
    more: strawberry.Private[bool]
    behind: strawberry.Private[bool]

    @field()
    def edges(self) -> list[Edge[T]]:
        """The items with their cursors."""
        return [Edge(cursor=self.cursor_of(item), node=item) for item in self.items]  # type: ignore[arg-type]

    @field()
    def nodes(self) -> list[T]:
        """The items."""
        return self.items  # type: ignore[return-value]

    @field()
    def page_info(self) -> PageInfo:
        """Where the page stands in its list."""
        return PageInfo(
            has_next_page=self.more,
            has_previous_page=self.behind,
            start_cursor=self.cursor_of(self.items[0]) if self.items else None,
            end_cursor=self.cursor_of(self.items[-1]) if self.items else None,
        )


def checked_first(first: int) -> int:
    """`first` if it is 1 to 100; raises `BAD_USER_INPUT`."""
    if not 1 <= first <= LONGEST_PAGE:
        raise SubgraphError(ErrorCode.BAD_USER_INPUT, f"`first` is from 1 to {LONGEST_PAGE}.")
    return first


def position(cursors: CursorCodec, of: ListIdentity, after: str | None) -> KeysetValue | None:
    """The one ordering value behind which the page starts; raises `INVALID_CURSOR`."""
    return None if after is None else cursors.decode(of, after)[0]


def moment(at: datetime, key: UUID) -> str:
    """The place of a row that is ordered by a time and then by its id."""
    return f"{at.isoformat()} {key}"


def moment_of(
    cursors: CursorCodec, of: ListIdentity, after: str | None
) -> tuple[datetime, UUID] | None:
    """The time and id behind which the page starts; raises `INVALID_CURSOR`."""
    behind = position(cursors, of, after)
    if behind is None:
        return None
    at, key = str(behind).split(" ")
    return datetime.fromisoformat(at), UUID(key)


def page_of(
    found: Sequence[T],
    *,
    first: int,
    after: str | None,
    cursors: CursorCodec,
    of: ListIdentity,
    place: Callable[[T], KeysetValue],
) -> Connection[T]:
    """The connection for `found`, which was read with one item more than `first`."""
    return Connection(
        items=found[:first],
        cursor_of=lambda item: cursors.encode(of, (place(item),)),  # type: ignore[arg-type]
        more=len(found) > first,
        behind=after is not None,
    )
