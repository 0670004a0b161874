"""The values that operation and client names take as metric labels.

Names come from callers, so their number is bounded three times: names, clients, and the pairs of
both. What does not fit is counted as `other`; nothing is lost from the totals.
"""

import re

MAX_OPERATIONS = 200
MAX_CLIENTS = 50
MAX_PAIRS = 400
OUTCOMES = ("ok", "refused", "error")
OTHER = "other"

Attributes = dict[str, str]

# (400 pairs + one `other` client for each of 202 operations) * 3 outcomes stays below the
# 2000 sets at which the SDK would replace all labels by its overflow marker.
_OPERATION = re.compile(r"[_A-Za-z][_0-9A-Za-z]{0,127}")
_CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._/:-]{0,63}")


def operation_label(name: str | None) -> str:
    """`name` if it is a GraphQL name of at most 128 letters; `anonymous` for None, else `other`."""
    return _label(name, _OPERATION, "anonymous")


def client_label(client: str | None) -> str:
    """`client` if it is a plain name of at most 64 characters; `unknown` for None, else `other`."""
    return _label(client, _CLIENT, "unknown")


class OperationLabels:
    """Ready-made label sets of `graphql.operation.duration`."""

    def __init__(self) -> None:
        self._operations: set[str] = set()
        self._clients: set[str] = set()
        self._sets: dict[tuple[str, str], dict[str, Attributes]] = {}
        self._by_raw_names: dict[tuple[str | None, str | None], dict[str, Attributes]] = {}

    def of(self, name: str | None, client: str | None) -> dict[str, Attributes]:
        """The label set of each outcome for one operation of one client."""
        known = self._by_raw_names.get((name, client))
        return known if known is not None else self._look_up(name, client)

    def _look_up(self, name: str | None, client: str | None) -> dict[str, Attributes]:
        operation = _bounded(operation_label(name), self._operations, MAX_OPERATIONS)
        caller = _bounded(client_label(client), self._clients, MAX_CLIENTS)
        if (operation, caller) not in self._sets and len(self._sets) >= MAX_PAIRS:
            caller = OTHER
        sets = self._sets.get((operation, caller))
        if sets is None:
            sets = {
                outcome: {"operation": operation, "client": caller, "outcome": outcome}
                for outcome in OUTCOMES
            }
            self._sets[operation, caller] = sets
        # Only names that kept their own label are remembered raw: the others have no bound.
        if name in (operation, None) and client in (caller, None):
            self._by_raw_names[name, client] = sets
        return sets


def _label(name: str | None, allowed: re.Pattern[str], missing: str) -> str:
    if name is None:
        return missing
    return name if allowed.fullmatch(name) else OTHER


def _bounded(label: str, admitted: set[str], limit: int) -> str:
    if label in admitted:
        return label
    if len(admitted) < limit:
        admitted.add(label)
        return label
    return OTHER
