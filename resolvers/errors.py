"""Business outcomes that travel in a payload's `userErrors`."""

from subgraph.errors import InvalidField
from subgraph.federation.access import AS_PARENT
from subgraph.federation.declare import attribute, interface_type, object_type


@interface_type(access=AS_PARENT)
class GovernanceError:
    """Why a mutation did nothing."""

    code: str = attribute("A stable code.")
    message: str = attribute("What is wrong, for people.")
    field: list[str] | None = attribute("The path of the input field.", at_most=100)


@object_type(access=AS_PARENT)
class InvalidInput(GovernanceError):
    """A value of the input breaks a rule."""


def invalid_input(error: InvalidField) -> list[GovernanceError]:
    """The user errors of a refused input."""
    return [InvalidInput(code=error.code.name, message=error.message, field=list(error.field))]
