"""The heads of the spend chains in the ledger, and what they say of a restored database."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from subgraph.budgets import reading, store
from subgraph.budgets.alerts import ACTOR
from subgraph.budgets.epsilon import format_epsilon
from subgraph.budgets.model import AnchoredWindow
from subgraph.budgets.windows import write_instant
from subgraph.db.service import Database, Transaction
from subgraph.errors import ErrorCode, JSONValue, SubgraphError
from subgraph.ledger.entry import decode
from subgraph.ledger.model import EventType, NewEvent, RecordedEvent
from subgraph.ledger.service import Ledger

NewestEvent = Callable[[str, EventType], Awaitable[RecordedEvent | None]]
"""Answers the newest event of a type in a tenant's log.

It MUST answer from the log that the witness vouches for, and MAY answer from another copy of it.
"""


async def anchor(transaction: Transaction, ledger: Ledger, tenant: str) -> UUID | None:
    """Record `budget.head`: every window that moved since the last such event.

    Called before each checkpoint of the tenant's log. Returns the event's id, or None when nothing
    moved. Raises what `Ledger.append` raises.
    """
    total, spent, windows = await store.take_moved(transaction, tenant)
    if not windows:
        return None
    listed: list[JSONValue] = [_window(window) for window in windows]
    payload: dict[str, JSONValue] = {
        "sequence": total,
        "epsilonSpent": format_epsilon(spent),
        "windows": listed,
    }
    event = NewEvent(EventType.BUDGET_HEAD, ACTOR, tenant, payload)
    receipt = await ledger.append(transaction, event)
    return receipt.event_id


async def check_anchor(database: Database, newest: NewestEvent, tenant: str) -> None:
    """Raise `BUDGET_BEHIND_LEDGER` unless the spend log continues what was anchored last.

    A database that is behind its own ledger was restored in part, or tampered with. One that is
    behind together with its ledger is the witness's to notice.
    """
    event = await newest(tenant, EventType.BUDGET_HEAD)
    if event is None:
        return
    anchored = _anchored(event)
    keys = [(window.window_start, window.sequence) for window in anchored.windows]
    found = await reading.heads_at(database, tenant, keys)
    behind = found.total_sequence < anchored.sequence or found.total_spent < anchored.spent
    if behind or any(
        found.heads.get((window.window_start, window.sequence)) != window.head
        for window in anchored.windows
    ):
        raise SubgraphError(ErrorCode.BUDGET_BEHIND_LEDGER, eventId=str(event.event_id))


@dataclass(frozen=True, slots=True)
class _Anchored:
    sequence: int
    spent: Decimal
    windows: tuple[AnchoredWindow, ...]


def _window(window: AnchoredWindow) -> dict[str, JSONValue]:
    return {
        "windowStart": write_instant(window.window_start),
        "sequence": window.sequence,
        "head": f"sha256:{window.head.hex()}",
        "epsilonSpent": format_epsilon(window.spent),
    }


def _anchored(event: RecordedEvent) -> _Anchored:
    payload = decode(event.entry).payload or {}
    windows = payload["windows"]
    assert isinstance(windows, list)
    return _Anchored(
        int(str(payload["sequence"])),
        Decimal(str(payload["epsilonSpent"])),
        tuple(_anchored_window(window) for window in windows if isinstance(window, dict)),
    )


def _anchored_window(window: dict[str, JSONValue]) -> AnchoredWindow:
    return AnchoredWindow(
        datetime.fromisoformat(str(window["windowStart"])),
        int(str(window["sequence"])),
        bytes.fromhex(str(window["head"]).removeprefix("sha256:")),
        Decimal(str(window["epsilonSpent"])),
    )
