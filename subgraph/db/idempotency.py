"""Requests that may be sent again: the first answer stands.

The claim is a row of the transaction that does the work, so it stands or falls with it, and a
repeat that comes meanwhile waits for the outcome.
"""

import hashlib
import json
from uuid import UUID

from subgraph.db.service import Transaction
from subgraph.errors import ErrorCode, JSONValue, SubgraphError

_LONGEST_KEY = 200


def digest(request: JSONValue) -> bytes:
    """The SHA-256 of what is asked, whatever the order of its members."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest()


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

    Raises `IDEMPOTENCY_CONFLICT` when the first request with this key asked for something else,
    and `BAD_USER_INPUT` for a key that is empty, over 200 characters or unprintable.
    """
    if not 1 <= len(key) <= _LONGEST_KEY or not key.isprintable():
        message = f"an idempotency key has 1 to {_LONGEST_KEY} printable characters"
        raise SubgraphError(ErrorCode.BAD_USER_INPUT, message)
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
        return result
    standing = await transaction.row(
        "SELECT request_digest, result_id FROM idempotency"
        " WHERE tenant_id = $1 AND operation = $2 AND key = $3",
        tenant,
        operation,
        key,
    )
    assert standing is not None
    if standing["request_digest"] != request_digest:
        raise SubgraphError(ErrorCode.IDEMPOTENCY_CONFLICT)
    first: UUID = standing["result_id"]
    return first
