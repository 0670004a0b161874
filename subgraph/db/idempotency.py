"""Requests that may be sent again: the first answer stands.

The claim is a row of the transaction that does the work, so it stands or falls with it, and a
repeat that comes meanwhile waits for the outcome.
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from uuid import UUID

from subgraph.db.service import Transaction
from subgraph.errors import ErrorCode, JSONValue, SubgraphError

_LONGEST_KEY = 200


@dataclass(frozen=True, slots=True)
class Claim:
    """What a key stands for: the first request with it, which is this one if it is `fresh`."""

    result_id: UUID
    request_digest: bytes
    fresh: bool


def digest(request: JSONValue) -> bytes:
    """The SHA-256 of what is asked, whatever the order of its members.

    It is stored in clear and tells whoever guesses a request whether the guess is right: a request
    with something confidential in it needs a digest under a key.
    """
    return hashlib.sha256(canonical(request)).digest()


def canonical(request: JSONValue) -> bytes:
    """The bytes that stand for a request, whatever the order of its members."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


async def claim(
    transaction: Transaction,
    tenant: str,
    operation: str,
    key: str,
    *,
    request_digest: bytes,
    result: UUID,
) -> UUID:
    """Return the id of what `key` stands for: `result`, or that of the first such request.

    Raises what `enter` raises, and `IDEMPOTENCY_CONFLICT` when the first request with this key
    asked for something else.
    """
    entered = await enter(
        transaction, tenant, operation, key, request_digest=request_digest, result=result
    )
    return same(entered, request_digest).result_id


async def enter(
    transaction: Transaction,
    tenant: str,
    operation: str,
    key: str,
    *,
    request_digest: bytes,
    result: UUID,
) -> Claim:
    """Enter a request under its key, unless one is there: then that one is returned, uncompared.

    Raises `BAD_USER_INPUT` for a key that is empty, over 200 characters or unprintable.
    """
    check_key(key)
    row = await transaction.row(
        "INSERT INTO idempotency (tenant_id, operation, key, request_digest, result_id)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING RETURNING result_id",
        tenant,
        operation,
        key,
        request_digest,
        result,
    )
    if row is not None:
        return Claim(result, request_digest, fresh=True)
    standing = await find(transaction, tenant, operation, key)
    assert standing is not None
    return standing


async def find(transaction: Transaction, tenant: str, operation: str, key: str) -> Claim | None:
    """The request that was entered under `key`, if there is one."""
    row = await transaction.row(
        "SELECT request_digest, result_id FROM idempotency"
        " WHERE tenant_id = $1 AND operation = $2 AND key = $3",
        tenant,
        operation,
        key,
    )
    return Claim(row["result_id"], row["request_digest"], fresh=False) if row else None


def same(claim: Claim, request_digest: bytes) -> Claim:
    """The claim; IDEMPOTENCY_CONFLICT when it is of another request than the one digested."""
    if not hmac.compare_digest(claim.request_digest, request_digest):
        raise SubgraphError(ErrorCode.IDEMPOTENCY_CONFLICT)
    return claim


def check_key(key: str) -> None:
    """Raise `BAD_USER_INPUT` for a key that is empty, over 200 characters or unprintable."""
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isprintable():
        message = f"an idempotency key has 1 to {_LONGEST_KEY} printable characters"
        raise SubgraphError(ErrorCode.BAD_USER_INPUT, message)
