"""What can go wrong at a key's provider, in the same words for all of them."""

from enum import Enum
from typing import Self

from subgraph.errors import ErrorCode, JSONValue, SubgraphError


class KeyFault(Enum):
    """A class of failures that callers treat alike.

    A `denial` is the owner's will or amounts to it: cached keys are purged at once and nothing is
    tried again until a probe succeeds. After a `retryable` fault cached keys serve until their
    hard limit.
    """

    THROTTLED = ErrorCode.KEY_THROTTLED
    UNAVAILABLE = ErrorCode.KEY_UNAVAILABLE
    KEY_DISABLED = ErrorCode.KEY_DISABLED
    KEY_PENDING_DELETION = ErrorCode.KEY_PENDING_DELETION
    KEY_NOT_FOUND = ErrorCode.KEY_NOT_FOUND
    ACCESS_DENIED = ErrorCode.KEY_ACCESS_DENIED
    WRONG_KEY = ErrorCode.WRONG_KEY
    INTEGRITY = ErrorCode.INTEGRITY
    CONFIG = ErrorCode.KEY_UNUSABLE

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later without anybody changing anything."""
        return self in (KeyFault.THROTTLED, KeyFault.UNAVAILABLE)

    @property
    def denial(self) -> bool:
        """Whether the key may not be used any more, whatever is cached."""
        return self in (
            KeyFault.KEY_DISABLED,
            KeyFault.KEY_PENDING_DELETION,
            KeyFault.KEY_NOT_FOUND,
            KeyFault.ACCESS_DENIED,
        )


class KeyProviderError(SubgraphError):
    """A provider refused or failed; `message` never holds credentials or key material."""

    def __init__(self, fault: KeyFault, message: str | None = None, **details: JSONValue) -> None:
        self.fault = fault
        super().__init__(fault.value, message, retryable=fault.retryable, **details)

    @classmethod
    def of(cls, error: SubgraphError) -> Self:
        """The same failure as one of a provider; CONFIG where no other fault has its code."""
        fault = next((fault for fault in KeyFault if fault.value is error.code), KeyFault.CONFIG)
        return cls(fault, error.message)
