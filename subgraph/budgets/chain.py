"""The spend log's hash chain: SHA-256 from the window's genesis through every entry.

    head(0) = SHA-256("ig-dp-spend-chain-v1" || 0x00 || {"tenant":..., "windowStart":...})
    head(n) = SHA-256("ig-dp-spend-chain-v1" || 0x01 || head(n-1) || entry(n))

Both texts are RFC 8785. The database computes the same in `dp_genesis` and `dp_reserve`.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from subgraph.budgets.epsilon import format_epsilon, parse_epsilon
from subgraph.budgets.errors import SpendFinding, SpendLogInvalid
from subgraph.budgets.model import Charge
from subgraph.budgets.windows import write_instant
from subgraph.errors import JSONValue, SubgraphError
from subgraph.ledger import canonical

DOMAIN = b"ig-dp-spend-chain-v1"
SCHEMA_VERSION = 1

_SPEND = frozenset(
    {
        "at",
        "datasetId",
        "epsilon",
        "policyVersion",
        "releaseKey",
        "reservationId",
        "sequence",
        "spendId",
        "tenant",
        "windowEnd",
        "windowStart",
    }
)
_CHARGE = frozenset({"actor", "datasetVersion", "mechanism", "query"})
_NUMBERS = frozenset({"sequence", "policyVersion"})
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class SpendEntry:
    """What an entry says; `spend` and `charge` are its two objects."""

    tenant: str
    window_start: str
    window_end: str
    at: str
    sequence: int
    epsilon: Decimal
    spend: Mapping[str, JSONValue]
    charge: Mapping[str, JSONValue]


def genesis(tenant: str, window_start: str) -> bytes:
    """The head of a window without spends."""
    text = canonical.encode({"tenant": tenant, "windowStart": window_start})
    return hashlib.sha256(DOMAIN + b"\x00" + text).digest()


def link(previous: bytes, entry: str) -> bytes:
    """The head behind one more entry."""
    return hashlib.sha256(DOMAIN + b"\x01" + previous + entry.encode()).digest()


def genesis_of(tenant: str, window_start: datetime) -> bytes:
    """The head of the window that starts then."""
    return genesis(tenant, write_instant(window_start))


def charge_text(charge: Charge, actor: str) -> str:
    """What the entry says of its purchase; the database adds what only it knows."""
    return canonical.encode(
        {
            "actor": actor,
            "datasetVersion": charge.dataset_version,
            "mechanism": charge.mechanism.value,
            "query": charge.query.value,
        }
    ).decode()


def request_digest(actor: str, charges: tuple[Charge, ...]) -> bytes:
    """SHA-256 of what a reservation asks for, so that a key cannot be used for something else."""
    asked: list[JSONValue] = [
        {
            "charge": charge_text(charge, actor),
            "datasetId": str(charge.dataset_id),
            "epsilon": format_epsilon(charge.epsilon),
            "releaseKey": charge.release_key.hex(),
        }
        for charge in charges
    ]
    return hashlib.sha256(canonical.encode(asked)).digest()


def read_entry(text: str, where: str = "") -> SpendEntry:
    """The entry of a canonical text. Raises `SpendLogInvalid`, which names `where`."""
    malformed = SpendLogInvalid(SpendFinding.ENTRY_MALFORMED, where)
    try:
        found = canonical.parse(text.encode())
    except (SubgraphError, UnicodeEncodeError):
        raise malformed from None
    if not isinstance(found, dict) or found.keys() != {"charge", "schemaVersion", "spend"}:
        raise malformed
    charge, spend, version = found["charge"], found["spend"], found["schemaVersion"]
    if (
        not isinstance(charge, dict)
        or not isinstance(spend, dict)
        or charge.keys() != _CHARGE
        or spend.keys() != _SPEND
        or version is True
        or version != SCHEMA_VERSION
        or not all(isinstance(value, str) for value in charge.values())
        or not all(
            type(value) is (int if name in _NUMBERS else str) for name, value in spend.items()
        )
    ):
        raise malformed
    texts = {name: str(value) for name, value in spend.items()}
    if not all(_INSTANT.fullmatch(texts[name]) for name in ("at", "windowStart", "windowEnd")):
        raise malformed
    try:
        epsilon = parse_epsilon(texts["epsilon"])
    except SubgraphError:
        raise SpendLogInvalid(SpendFinding.EPSILON_INVALID, where) from None
    if format_epsilon(epsilon) != texts["epsilon"]:
        raise SpendLogInvalid(SpendFinding.EPSILON_INVALID, where)
    return SpendEntry(
        tenant=texts["tenant"],
        window_start=texts["windowStart"],
        window_end=texts["windowEnd"],
        at=texts["at"],
        sequence=int(texts["sequence"]),
        epsilon=epsilon,
        spend=spend,
        charge=charge,
    )
