"""The steps at which the ledger can be interrupted, by name, so that tests reach every one."""

from collections.abc import Awaitable, Callable
from enum import Enum


class FaultPoint(Enum):
    """A step that was just completed."""

    EVENTS_SIGNED = "append.signed"
    HEAD_LOCKED = "append.locked"
    EVENTS_COMPARED = "append.compared"
    EVENTS_RECORDED = "append.recorded"
    PERSONAL_RECORDED = "append.personal"
    CHECKPOINT_HEAD_READ = "checkpoint.read"
    CHECKPOINT_SIGNED = "checkpoint.signed"
    CHECKPOINT_ANCHORED = "checkpoint.anchored"
    CHECKPOINT_STORED = "checkpoint.stored"
    DELEGATION_SIGNED = "delegation.signed"
    DELEGATION_RECORDED = "delegation.recorded"
    KEYS_ANNOUNCED = "keys.announced"


FaultPoints = Callable[[FaultPoint], Awaitable[None]]
"""Called at each step; production passes `no_faults`."""


async def no_faults(_: FaultPoint) -> None:
    """Go on."""
