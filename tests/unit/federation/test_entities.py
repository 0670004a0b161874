"""Entity types and their loaders, with small schemas."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.federation import entities
from subgraph.federation.access import AS_PARENT, AUTHENTICATED, PUBLIC, Access, scope
from subgraph.federation.declare import attribute, object_type
from subgraph.federation.entities import EntityType
from tests.unit.federation.schemas import Context, build, returning


def refusal(type_: type) -> str:
    with pytest.raises(SubgraphError) as caught:
        build(returning(type_))
    assert caught.value.code is ErrorCode.SCHEMA_INVALID
    return caught.value.message


def test_entity_without_a_batch_loader_is_refused() -> None:
    @object_type(access=PUBLIC, key="id")
    class Thing:
        """A thing."""

        id: str = attribute("The id.")

    assert refusal(Thing) == "the entity Thing has no load_many"


def test_entity_with_a_loader_of_single_keys_is_refused() -> None:
    @object_type(access=PUBLIC, key="id")
    class Thing:
        """A thing."""

        id: str = attribute("The id.")

        @classmethod
        async def resolve_reference(cls, id: str) -> "Thing":
            return cls(id=id)

    assert refusal(Thing) == "the entity Thing has no load_many"


def test_entity_with_a_loader_that_does_not_wait_is_refused() -> None:
    @object_type(access=PUBLIC, key="id")
    class Thing:
        """A thing."""

        id: str = attribute("The id.")

        @classmethod
        def load_many(cls, keys: Sequence[str], context: object) -> list[None]:
            return [None for _ in keys]

    assert refusal(Thing) == "the entity Thing has no load_many"


def test_entity_that_leaves_its_access_to_its_parent_is_refused() -> None:
    @object_type(access=AS_PARENT, key="id")
    class Thing:
        """A thing."""

        id: str = attribute("The id.")

        @classmethod
        async def load_many(cls, keys: Sequence[str], context: object) -> list[None]:
            return [None for _ in keys]

    assert refusal(Thing) == "the entity Thing has no access of its own"


def test_key_of_several_fields_is_refused() -> None:
    @object_type(access=PUBLIC, key="id version")
    class Thing:
        """A thing."""

        id: str = attribute("The id.")
        version: str = attribute("The version.")

        @classmethod
        async def load_many(cls, keys: Sequence[str], context: object) -> list[None]:
            return [None for _ in keys]

    assert refusal(Thing) == "Thing has a key that is not one field"


def test_entity_types_are_those_that_declare_a_key() -> None:
    @object_type(access=AUTHENTICATED, key="code")
    class Thing:
        """A thing."""

        code: str = attribute("The code.")

        @classmethod
        async def load_many(cls, keys: Sequence[str], context: object) -> list[None]:
            return [None for _ in keys]

    found = build(returning(Thing)).entity_types
    assert {(name, item.key_field, item.access) for name, item in found.items()} == {
        ("Thing", "code", AUTHENTICATED)
    }


def test_schema_without_entities_has_none() -> None:
    assert build().entity_types == {}


# --- resolution


class Shelf:
    """A loader that answers `<name> <key>`, None for a key that starts with `no`."""

    def __init__(self, name: str, access: Access = PUBLIC) -> None:
        self.type = EntityType(name, "id", access, self.load_many)
        self.name = name
        self.batches: list[list[str]] = []

    async def load_many(self, keys: Sequence[str], context: Any) -> list[str | None]:
        self.batches.append(list(keys))
        await asyncio.sleep(0)
        return [None if key.startswith("no") else f"{self.name} {key}" for key in keys]


def of(name: str, key: object) -> dict[str, object]:
    return {"__typename": name, "id": key}


def types(*shelves: Shelf) -> dict[str, EntityType]:
    return {shelf.name: shelf.type for shelf in shelves}


REPRESENTATIONS = st.lists(
    st.builds(of, st.sampled_from(["A", "B", "Nothing"]), st.text(max_size=5) | st.integers())
    | st.none()
    | st.text(max_size=3)
    | st.dictionaries(st.sampled_from(["__typename", "id"]), st.none() | st.text(max_size=3))
)


@given(REPRESENTATIONS)
async def test_each_item_depends_on_its_own_representation_only(asked: list[Any]) -> None:
    known = types(Shelf("A"), Shelf("B"))
    together = await entities.resolve(known, asked, Context())
    alone = [(await entities.resolve(known, [item], Context()))[0] for item in asked]
    assert [str(item) for item in together] == [str(item) for item in alone]


async def test_each_type_is_loaded_once() -> None:
    first, second = Shelf("A"), Shelf("B")
    asked = [of("A", "1"), of("B", "2"), of("A", "3"), of("B", "4")]
    await entities.resolve(types(first, second), asked, Context())
    assert (first.batches, second.batches) == ([["1", "3"]], [["2", "4"]])


async def test_loader_that_fails_harms_its_own_type_only() -> None:
    broken = Shelf("A")

    async def fail(keys: Sequence[str], context: Any) -> list[None]:
        raise RuntimeError("broken")

    known = types(Shelf("B")) | {"A": EntityType("A", "id", PUBLIC, fail)}
    items = await entities.resolve(known, [of("A", "1"), of("B", "2")], Context())
    assert broken.batches == [] and [str(item) for item in items] == ["broken", "B 2"]


@pytest.mark.parametrize("answered", [[], ["x"], ["x", "y", "z"]])
async def test_loader_that_answers_too_few_or_many_harms_its_own_type_only(
    answered: list[str],
) -> None:
    async def miscount(keys: Sequence[str], context: Any) -> list[str]:
        return answered

    known = types(Shelf("B")) | {"A": EntityType("A", "id", PUBLIC, miscount)}
    asked = [of("A", "1"), of("B", "2"), of("A", "3")]
    items = await entities.resolve(known, asked, Context())
    assert [isinstance(item, Exception) for item in items] == [True, False, True]


async def test_exception_among_the_items_belongs_to_its_key() -> None:
    async def partly(keys: Sequence[str], context: Any) -> list[object]:
        return [ValueError(key) if key == "2" else key for key in keys]

    known = {"A": EntityType("A", "id", PUBLIC, partly)}
    items = await entities.resolve(known, [of("A", "1"), of("A", "2"), of("A", "3")], Context())
    assert [isinstance(item, Exception) for item in items] == [False, True, False]


@pytest.mark.parametrize(
    ("scopes", "code"), [(None, "UNAUTHENTICATED"), (frozenset(), "FORBIDDEN")]
)
async def test_caller_without_access_loads_nothing(
    scopes: frozenset[str] | None, code: str
) -> None:
    shelf = Shelf("A", scope("keys:read"))
    (item,) = await entities.resolve(types(shelf), [of("A", "1")], Context(scopes))
    assert isinstance(item, SubgraphError)
    assert (item.code.name, shelf.batches) == (code, [])


async def test_access_is_asked_once_for_all_items_of_a_type() -> None:
    context = Context(frozenset({"keys:read"}))
    shelf = Shelf("A", scope("keys:read"))
    await entities.resolve(types(shelf), [of("A", str(n)) for n in range(50)], context)
    assert context.asked == 1
