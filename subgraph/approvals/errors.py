"""Why a request is not approved, decided or used."""

from subgraph.errors import ErrorCode, SubgraphError


class InvalidRequest(SubgraphError):
    """A field of a request breaks a rule; `field` names the argument."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(ErrorCode.INVALID_INPUT, f"{field}: {message}")
        self.field = field


def unknown() -> SubgraphError:
    """Nothing of this kind has the id in this tenant."""
    return SubgraphError(ErrorCode.INVALID_ID, "there is no request with this id")


def not_distinct(message: str) -> SubgraphError:
    """A decision by somebody who cannot decide."""
    return SubgraphError(ErrorCode.APPROVER_NOT_DISTINCT, message)


def dual_control(message: str) -> SubgraphError:
    """The approvals do not suffice."""
    return SubgraphError(ErrorCode.DUAL_CONTROL_REQUIRED, message)
