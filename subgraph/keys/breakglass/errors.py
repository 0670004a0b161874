"""Why a break-glass request is not made, opened or used."""

from subgraph.errors import ErrorCode, SubgraphError


class InvalidBreakGlass(SubgraphError):
    """A field of a request breaks a rule; `field` is the path of the input field."""

    def __init__(self, message: str, field: tuple[str, ...]) -> None:
        super().__init__(ErrorCode.INVALID_INPUT, message)
        self.field = field


def closed() -> SubgraphError:
    """There is no session in which something could be read."""
    return SubgraphError(ErrorCode.BREAK_GLASS_CLOSED)


def not_the_requester() -> SubgraphError:
    """A grant belongs to whoever asked for it."""
    message = "Only the requester uses what was approved."
    return SubgraphError(ErrorCode.FORBIDDEN, message)
