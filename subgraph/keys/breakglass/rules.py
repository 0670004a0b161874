"""The rules that a break-glass request must keep, checked before the database is asked."""

from subgraph.approvals.errors import InvalidRequest
from subgraph.approvals.wording import name, prose
from subgraph.keys.breakglass.errors import InvalidBreakGlass
from subgraph.keys.breakglass.model import NewBreakGlass, Scope

_SHORTEST_JUSTIFICATION = 10
_LONGEST_JUSTIFICATION = 2000
_MOST_RECORDS = 100
_MOST_FIELDS = 50
_LONGEST_NAME = 128
_MOST_MINUTES = 60


def checked(wanted: NewBreakGlass) -> NewBreakGlass:
    """The request with its justification in normalization form C and its scope in order.

    Two requests that ask for the same are equal then. Raises `InvalidBreakGlass`.
    """
    if not 1 <= wanted.duration_minutes <= _MOST_MINUTES:
        message = f"1 to {_MOST_MINUTES} minutes"
        raise InvalidBreakGlass(message, ("input", "durationMinutes"))
    try:
        justification = prose(
            "justification",
            wanted.justification,
            least=_SHORTEST_JUSTIFICATION,
            most=_LONGEST_JUSTIFICATION,
        )
    except InvalidRequest as error:
        raise InvalidBreakGlass(error.message, ("input", "justification")) from None
    return NewBreakGlass(
        wanted.reason_code, justification, _scope(wanted.scope), wanted.duration_minutes
    )


def _scope(scope: Scope) -> Scope:
    if not 1 <= len(scope.record_ids) <= _MOST_RECORDS:
        message = f"1 to {_MOST_RECORDS} records"
        raise InvalidBreakGlass(message, ("input", "scope", "recordIds"))
    if not 1 <= len(scope.fields) <= _MOST_FIELDS:
        message = f"1 to {_MOST_FIELDS} fields"
        raise InvalidBreakGlass(message, ("input", "scope", "fields"))
    _check_name(scope.object_type, "objectType")
    for field in scope.fields:
        _check_name(field, "fields")
    return Scope(
        scope.object_type,
        tuple(sorted(set(scope.record_ids))),
        tuple(sorted(set(scope.fields))),
    )


def _check_name(text: str, field: str) -> None:
    try:
        name(field, text, most=_LONGEST_NAME)
    except InvalidRequest as error:
        raise InvalidBreakGlass(error.message, ("input", "scope", field)) from None
