"""What can be wrong with a registration."""

from subgraph.errors import ErrorCode, SubgraphError


class InvalidRegistration(SubgraphError):
    """A field of a registration breaks a rule; `field` is the path of the input field."""

    def __init__(
        self, message: str, field: tuple[str, ...], code: ErrorCode = ErrorCode.INVALID_INPUT
    ) -> None:
        super().__init__(code, message)
        self.field = field
