"""The steps at which the accountant can be interrupted, by name, so that tests reach every one."""

from collections.abc import Awaitable, Callable
from enum import Enum


class FaultPoint(Enum):
    """A step that was just completed."""

    RESERVED = "reserve.reserved"
    RESERVED_LOW = "reserve.low"
    ALARMED = "reserve.alarmed"
    RESERVATION_LOCKED = "commit.locked"
    SPENDS_COMMITTED = "commit.committed"
    RELEASES_READ = "commit.read"
    COMMITTED = "commit.done"


FaultPoints = Callable[[FaultPoint], Awaitable[None]]
"""Called at each step; production passes `no_faults`."""


async def no_faults(_: FaultPoint) -> None:
    """Go on."""
