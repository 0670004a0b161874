"""The rules that arguments about keys must keep."""

from subgraph.errors import InvalidField

_LONGEST_REASON = 500


def check_reason(reason: str) -> None:
    """Raise `InvalidField` unless there is a reason, of 500 characters at most."""
    if not 1 <= len(reason.strip()) <= _LONGEST_REASON:
        raise InvalidField(f"a reason has 1 to {_LONGEST_REASON} characters", ("reason",))
