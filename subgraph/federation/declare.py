"""How types and fields are declared: description, access and size stand with the element.

Descriptions are the docstrings. A type names the access that its fields inherit; a field of a
root type, or one with a scope of its own, names it itself. A list says how long it can be.
"""

import inspect
from collections.abc import Callable
from enum import Enum
from typing import Any, TypeVar, dataclass_transform

import strawberry
from strawberry.federation.schema_directives import Key, ListSize, Shareable
from strawberry.types.unset import UNSET

from subgraph.federation.access import Access

C = TypeVar("C", bound=type)
E = TypeVar("E", bound=type[Enum])

ACCESS = "access"
ACCESS_ATTRIBUTE = "__access__"


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field,))
def object_type(
    *,
    access: Access | None,
    key: str | None = None,
    shareable: bool = False,
    name: str | None = None,
) -> Callable[[C], C]:
    """An object type; `access` None is for root types, whose fields each name their own."""

    def declare(cls: C) -> C:
        directives: list[object] = [Key(fields=key, resolvable=UNSET)] if key else []  # type: ignore[arg-type]
        if shareable:
            directives.append(Shareable())
        if access is not None:
            directives.extend(access.directives)
        setattr(cls, ACCESS_ATTRIBUTE, access)
        return strawberry.type(
            cls, name=name, description=inspect.getdoc(cls), directives=directives
        )

    return declare


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field,))
def interface_type(*, access: Access) -> Callable[[C], C]:
    """An interface; its access stands on the implementing types, never in its own SDL."""

    def declare(cls: C) -> C:
        setattr(cls, ACCESS_ATTRIBUTE, access)
        return strawberry.interface(cls, description=inspect.getdoc(cls))

    return declare


@dataclass_transform(kw_only_default=True, field_specifiers=(strawberry.field,))
def input_type(cls: C) -> C:
    """An input object."""
    return strawberry.input(cls, description=inspect.getdoc(cls))


def field(
    *,
    access: Access | None = None,
    paged: bool = False,
    at_most: int | None = None,
    name: str | None = None,
    cost: object = None,
) -> Callable[[Callable[..., Any]], Any]:
    """A field with a resolver.

    `paged`: it returns a connection that is sliced by `first`. `at_most`: it returns a list of at
    most so many items, which the resolver holds to. `cost`: the `@dpCost` of a release.
    """

    def declare(resolver: Callable[..., Any]) -> Any:
        return strawberry.field(
            resolver=resolver,
            name=name,
            description=inspect.getdoc(resolver),
            directives=[
                *_directives(access, paged=paged, at_most=at_most),
                *([] if cost is None else [cost]),
            ],
            metadata={ACCESS: access},
        )

    return declare


def mutation(*, access: Access) -> Callable[[Callable[..., Any]], Any]:
    """A field of the mutation type."""

    def declare(resolver: Callable[..., Any]) -> Any:
        return strawberry.mutation(
            resolver=resolver,
            description=inspect.getdoc(resolver),
            directives=access.directives,
            metadata={ACCESS: access},
        )

    return declare


def attribute(
    description: str,
    *,
    access: Access | None = None,
    at_most: int | None = None,
    name: str | None = None,
    default: Any = inspect.Parameter.empty,
) -> Any:
    """A field that reads the attribute of the same name."""
    options: dict[str, Any] = {} if default is inspect.Parameter.empty else {"default": default}
    return strawberry.field(
        name=name,
        description=description,
        directives=_directives(access, paged=False, at_most=at_most),
        metadata={ACCESS: access},
        **options,
    )


def described_enum(cls: E, values: dict[str, str], *, name: str | None = None) -> None:
    """Describe a domain enum and its values for the schema; every value must be described."""
    declared: Any = strawberry.enum(cls, name=name, description=inspect.getdoc(cls))
    for value in declared.__strawberry_definition__.values:
        value.description = values[value.name]


def _directives(access: Access | None, *, paged: bool, at_most: int | None) -> list[object]:
    directives = list(access.directives) if access is not None else []
    if paged:
        directives.append(
            ListSize(
                assumed_size=UNSET,
                slicing_arguments=["first"],
                sized_fields=["edges", "nodes"],
                require_one_slicing_argument=UNSET,
            )
        )
    if at_most is not None:
        directives.append(
            ListSize(
                assumed_size=at_most,
                slicing_arguments=UNSET,
                sized_fields=UNSET,
                require_one_slicing_argument=UNSET,
            )
        )
    return directives
