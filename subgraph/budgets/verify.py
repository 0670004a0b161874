"""Verifies a spend log from its entries alone: the chain, the order, the exact sums.

Needs the standard library only. What a file looks like:

    {"tenant", "windowStart", "windowEnd", "sequence", "head": "sha256:<64 hex>", "epsilonSpent",
     "spends": [{"entry": <text>, "chainHash": "sha256:<64 hex>"}, ...]}
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from subgraph.budgets.chain import genesis, link, read_entry
from subgraph.budgets.epsilon import format_epsilon, from_quanta, to_quanta
from subgraph.budgets.errors import SpendFinding, SpendLogInvalid
from subgraph.errors import SubgraphError
from subgraph.ledger import canonical

_FILE = frozenset(
    {"tenant", "windowStart", "windowEnd", "sequence", "head", "epsilonSpent", "spends"}
)
_SPEND = frozenset({"entry", "chainHash"})


@dataclass(frozen=True, slots=True)
class LoggedSpend:
    """An entry as it was hashed, and the chain hash that it is said to have (`sha256:<hex>`)."""

    entry: str
    chain_hash: str


@dataclass(frozen=True, slots=True)
class SpendLog:
    """All spends of a window, in order, and what is said of them; instants are texts."""

    tenant: str
    window_start: str
    window_end: str
    sequence: int
    head: str
    epsilon_spent: str
    spends: tuple[LoggedSpend, ...]


@dataclass(frozen=True, slots=True)
class SpendReport:
    """What was verified."""

    tenant: str
    window_start: str
    window_end: str
    spends: int
    head: str
    spent: Decimal


def digest(raw: bytes) -> str:
    """The text of a SHA-256."""
    return f"sha256:{raw.hex()}"


def read_log(content: bytes) -> SpendLog:
    """The spend log in a file. Raises `SpendLogInvalid`."""
    try:
        found = canonical.load(content)
    except SubgraphError:
        raise SpendLogInvalid(SpendFinding.FILE_MALFORMED) from None
    if not isinstance(found, dict) or found.keys() != _FILE:
        raise SpendLogInvalid(SpendFinding.FILE_MALFORMED)
    listed = found.pop("spends")
    sequence = found.pop("sequence")
    if (
        type(sequence) is not int
        or not isinstance(listed, list)
        or not all(_is_record(item, _SPEND) for item in listed)
        or not _is_record(found, _FILE - {"spends", "sequence"})
    ):
        raise SpendLogInvalid(SpendFinding.FILE_MALFORMED)
    return SpendLog(
        tenant=found["tenant"],
        window_start=found["windowStart"],
        window_end=found["windowEnd"],
        sequence=sequence,
        head=found["head"],
        epsilon_spent=found["epsilonSpent"],
        spends=tuple(LoggedSpend(item["entry"], item["chainHash"]) for item in listed),
    )


def write_log(log: SpendLog) -> bytes:
    """The file of a spend log."""
    return canonical.encode(
        {
            "tenant": log.tenant,
            "windowStart": log.window_start,
            "windowEnd": log.window_end,
            "sequence": log.sequence,
            "head": log.head,
            "epsilonSpent": log.epsilon_spent,
            "spends": [
                {"entry": spend.entry, "chainHash": spend.chain_hash} for spend in log.spends
            ],
        }
    )


def verify_log(log: SpendLog) -> SpendReport:
    """Recompute everything. `SpendLogInvalid` names the first thing that is wrong.

    That the log is the one which was kept shows only by its head: compare it with the `budget.head`
    event of a signed ledger, or with an export's manifest.
    """
    head, quanta = genesis(log.tenant, log.window_start), 0
    seen: set[str] = set()
    for place, spend in enumerate(log.spends):
        where = f"spends[{place}]"
        entry = read_entry(spend.entry, where)
        if (entry.tenant, entry.window_start, entry.window_end) != (
            log.tenant,
            log.window_start,
            log.window_end,
        ):
            raise SpendLogInvalid(SpendFinding.WRONG_WINDOW, where)
        if not entry.window_start <= entry.at < entry.window_end:
            raise SpendLogInvalid(SpendFinding.OUT_OF_WINDOW, where)
        identity = str(entry.spend["spendId"])
        if entry.sequence != place + 1 or identity in seen:
            raise SpendLogInvalid(SpendFinding.SEQUENCE_BROKEN, where)
        seen.add(identity)
        head = link(head, spend.entry)
        if digest(head) != spend.chain_hash:
            raise SpendLogInvalid(SpendFinding.CHAIN_BROKEN, where)
        quanta += to_quanta(entry.epsilon)
    if log.sequence != len(log.spends):
        raise SpendLogInvalid(SpendFinding.SEQUENCE_BROKEN, "sequence")
    if digest(head) != log.head:
        raise SpendLogInvalid(SpendFinding.HEAD_MISMATCH, "head")
    spent = from_quanta(quanta)
    if format_epsilon(spent) != log.epsilon_spent:
        raise SpendLogInvalid(SpendFinding.SUM_MISMATCH, "epsilonSpent")
    return SpendReport(
        log.tenant, log.window_start, log.window_end, len(log.spends), log.head, spent
    )


def verify_lifetime(reports: Sequence[SpendReport], sequence: int, spent: Decimal) -> None:
    """Raise `SpendLogInvalid` unless all windows together are what the lifetime is said to be."""
    if sum(report.spends for report in reports) != sequence:
        raise SpendLogInvalid(SpendFinding.SEQUENCE_BROKEN, "lifetime")
    if _total(report.spent for report in reports) != spent:
        raise SpendLogInvalid(SpendFinding.SUM_MISMATCH, "lifetime")


def _total(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, Decimal(0))


def _is_record(value: object, names: frozenset[str]) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == names
        and all(isinstance(member, str) for member in value.values())
    )
