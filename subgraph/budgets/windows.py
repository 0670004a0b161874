"""Windows as keys and texts; where they begin and end is for the database's clock to say."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def window_key(window_start: datetime) -> UUID:
    """The key of a window in its public id: its start, in microseconds since the year 1."""
    return UUID(int=(window_start - _FIRST) // _MICROSECOND)


def window_of_key(key: UUID) -> datetime | None:
    """The start that a key says, or None when no window has this key."""
    try:
        return _FIRST + timedelta(microseconds=key.int)
    except OverflowError:
        return None


def write_instant(at: datetime) -> str:
    """The text of a UTC instant in entries: always microseconds, and Z."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
