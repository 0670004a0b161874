"""Why a request is not approved, decided or used."""

from subgraph.errors import ErrorCode, InvalidField, SubgraphError


class InvalidRequest(InvalidField):
    """An argument of a request breaks a rule."""

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(f"{argument}: {message}", (argument,))


def unknown() -> SubgraphError:
    """Nothing of this kind has the id in this tenant."""
    return SubgraphError(ErrorCode.INVALID_ID, "there is no request with this id")


def not_distinct(message: str) -> SubgraphError:
    """A decision by somebody who cannot decide."""
    return SubgraphError(ErrorCode.APPROVER_NOT_DISTINCT, message)


def dual_control(message: str) -> SubgraphError:
    """The approvals do not suffice."""
    return SubgraphError(ErrorCode.DUAL_CONTROL_REQUIRED, message)
