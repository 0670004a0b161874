"""How a query that cannot be asked is refused, before anything is charged."""

from subgraph.errors import ErrorCode, SubgraphError


def invalid(field: str, message: str) -> SubgraphError:
    """The refusal of the argument `field`; `message` says what it must be."""
    return SubgraphError(ErrorCode.INVALID_INPUT, f"{field}: {message}", field=field)
