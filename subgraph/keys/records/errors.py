"""Refusals of records."""

from subgraph.errors import ErrorCode, SubgraphError


class InvalidRecord(SubgraphError):
    """A record breaks a rule; `field` is the path of what is wrong in the input."""

    def __init__(
        self, message: str, field: tuple[str, ...], code: ErrorCode = ErrorCode.INVALID_INPUT
    ) -> None:
        self.field = field
        super().__init__(code, message)
