"""Pages, from what was read with one item more than was asked for."""

import pytest

from resolvers.connections import Connection, checked_first, page_of, position
from subgraph.db.cursors import CursorCodec, ListIdentity
from subgraph.errors import ErrorCode, SubgraphError

CURSORS = CursorCodec("c" * 32)
LIST = ListIdentity("letters", "acme", "letter")


def page(found: str, first: int, after: str | None = None) -> Connection[str]:
    return page_of(
        found, first=first, after=after, cursors=CURSORS, of=LIST, place=lambda letter: letter
    )


@pytest.mark.parametrize("first", [1, 50, 100])
def test_page_has_from_one_to_a_hundred_items(first: int) -> None:
    assert checked_first(first) == first


@pytest.mark.parametrize("first", [0, -1, 101, 2**31 - 1])
def test_page_of_another_size_is_refused(first: int) -> None:
    with pytest.raises(SubgraphError) as caught:
        checked_first(first)
    assert caught.value.code is ErrorCode.BAD_USER_INPUT


@pytest.mark.parametrize(
    ("found", "first", "items", "more"),
    [("abc", 2, "ab", True), ("ab", 2, "ab", False), ("a", 2, "a", False), ("", 2, "", False)],
)
def test_item_too_many_says_that_more_follow(
    found: str, first: int, items: str, more: bool
) -> None:
    connection = page(found, first)
    assert (connection.items, connection.more) == (items, more)


def test_cursor_leads_back_to_the_place_of_its_item() -> None:
    connection = page("abc", 2)
    places = [position(CURSORS, LIST, connection.cursor_of(item)) for item in connection.items]
    assert places == ["a", "b"]


def test_walk_begins_without_a_place() -> None:
    assert position(CURSORS, LIST, None) is None


@pytest.mark.parametrize(
    "other",
    [
        ListIdentity("letters", "other", "letter"),
        ListIdentity("words", "acme", "letter"),
        ListIdentity("letters", "acme", "size"),
        ListIdentity("letter", "sacme", "letter"),
    ],
)
def test_cursor_fits_its_own_list_only(other: ListIdentity) -> None:
    cursor = page("abc", 2).cursor_of("a")
    with pytest.raises(SubgraphError) as caught:
        position(CURSORS, other, cursor)
    assert caught.value.code is ErrorCode.INVALID_CURSOR
