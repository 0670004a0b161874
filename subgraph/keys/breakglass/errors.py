"""Why a break-glass request is not made, opened or used."""

from subgraph.errors import ErrorCode, InvalidField, SubgraphError


class InvalidBreakGlass(InvalidField):
    """A field of a break-glass request breaks a rule."""


def closed() -> SubgraphError:
    """There is no session in which something could be read."""
    return SubgraphError(ErrorCode.BREAK_GLASS_CLOSED)


def not_the_requester() -> SubgraphError:
    """A grant belongs to whoever asked for it."""
    message = "Only the requester uses what was approved."
    return SubgraphError(ErrorCode.FORBIDDEN, message)
