"""Business outcomes of mutations on keys, records and requests."""

from resolvers.errors import GovernanceError, InvalidInput, invalid_input
from resolvers.key_provider import KeyProvider
from subgraph.errors import ErrorCode, InvalidField, SubgraphError
from subgraph.federation.access import AS_PARENT
from subgraph.federation.declare import attribute, object_type
from subgraph.kms.faults import KeyProviderError

_OUTCOMES = frozenset(
    {
        ErrorCode.ALREADY_EXISTS,
        ErrorCode.APPROVAL_DIGEST_MISMATCH,
        ErrorCode.APPROVER_NOT_DISTINCT,
        ErrorCode.BREAK_GLASS_CLOSED,
        ErrorCode.BREAK_GLASS_OUT_OF_SCOPE,
        ErrorCode.GRANT_CONSUMED,
        ErrorCode.IDEMPOTENCY_CONFLICT,
        ErrorCode.INVALID_ID,
        ErrorCode.INVALID_INPUT,
        ErrorCode.JOB_ENDED,
        ErrorCode.JOB_IN_FLIGHT,
        ErrorCode.KEY_IN_USE,
        ErrorCode.KEY_NOT_FOUND,
        ErrorCode.REQUEST_EXPIRED,
        ErrorCode.REQUEST_NOT_OPEN,
        ErrorCode.UNKNOWN_OBJECT,
    }
)
"""What a caller can do something about; everything else is a fault, and goes to `errors`."""


@object_type(access=AS_PARENT)
class KeyUnavailable(GovernanceError):
    """The key's provider refuses, or does not answer."""

    provider: KeyProvider = attribute("Who holds the key.")
    retryable: bool = attribute("Whether the same request may succeed later.")


@object_type(access=AS_PARENT)
class DualControlRequired(GovernanceError):
    """Not enough other people have approved."""

    approvals_needed: int = attribute("How many approvals it takes.")


def outcome(
    error: SubgraphError, provider: KeyProvider = KeyProvider.LOCAL, needed: int = 2
) -> list[GovernanceError]:
    """The user errors that say what `error` says; raises it when it is no business outcome."""
    code, message = error.code.name, error.message
    if isinstance(error, KeyProviderError):
        return [
            KeyUnavailable(
                code=code,
                message=message,
                field=None,
                provider=provider,
                retryable=error.fault.retryable,
            )
        ]
    if isinstance(error, InvalidField):
        return invalid_input(error)
    if error.code is ErrorCode.DUAL_CONTROL_REQUIRED:
        return [
            DualControlRequired(code=code, message=message, field=None, approvals_needed=needed)
        ]
    if error.code in _OUTCOMES:
        return [InvalidInput(code=code, message=message, field=None)]
    raise error
