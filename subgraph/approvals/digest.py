"""What an approver signs for, what the service signs in the approver's name, and the check of both.

An approver holds no key. The service signs, with the key of its process, that a token of the
approver was presented for exactly this digest; the statement says that it is the service's.
"""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256

from subgraph.approvals.errors import dual_control
from subgraph.approvals.model import Approval, ApprovalRequest, RequestKey
from subgraph.errors import JSONValue
from subgraph.ledger import canonical
from subgraph.ledger.dsse import STATEMENT_PAYLOAD_TYPE, Statement, pae
from subgraph.ledger.entry import write_time
from subgraph.ledger.errors import VerificationFailed
from subgraph.ledger.model import KeyPurpose, VerificationKey
from subgraph.ledger.publickey import PublicKey

PREDICATE_TYPE = "https://specs.intelgraph.dev/approval/v1"
_PREFIX = "sha256:"


def digest_of(value: JSONValue) -> str:
    """SHA-256 of the canonical JSON text (RFC 8785), as `sha256:` and 64 hex digits."""
    return _PREFIX + sha256(canonical.encode(value)).hexdigest()


def request_digest(
    key: RequestKey,
    *,
    requester: str,
    payload: JSONValue,
    needed: int,
    created_at: datetime,
    expires_at: datetime,
) -> str:
    """The digest of everything that an approval is for."""
    return digest_of(
        {
            "kind": key.kind,
            "tenant": key.tenant,
            "requestId": str(key.request_id),
            "requester": requester,
            "payload": payload,
            "needed": needed,
            "createdAt": write_time(created_at),
            "expiresAt": write_time(expires_at),
        }
    )


def recomputed(request: ApprovalRequest) -> str | None:
    """The digest of the request as it is stored now; None when its payload is not canonical."""
    try:
        payload = canonical.parse(request.payload.encode())
    except VerificationFailed:
        return None
    return request_digest(
        request.key,
        requester=request.requester,
        payload=payload,
        needed=request.needed,
        created_at=request.created_at,
        expires_at=request.expires_at,
    )


def statement(key: RequestKey, digest: str, *, approver: str, token_id: str, at: datetime) -> bytes:
    """The DSSE pre-authentication encoding of an approval: what the process key signs.

    The payload is an in-toto statement whose subject is the request, by its digest.
    """
    return pae(
        STATEMENT_PAYLOAD_TYPE,
        Statement(
            f"{key.kind}/{key.request_id}",
            bytes.fromhex(digest.removeprefix(_PREFIX)),
            PREDICATE_TYPE,
            {
                "tenant": key.tenant,
                "approver": approver,
                "tokenId": token_id,
                "approvedAt": write_time(at),
                "signedBy": "the service, for the approver whose token was presented",
            },
        ).encode(),
    )


def check_dual_control(request: ApprovalRequest, keys: Mapping[str, VerificationKey]) -> None:
    """Count the approvers anew: distinct, none the requester, each signed for exactly this request.

    `keys` are the ledger's published keys by id; a signature counts if its key was a process's,
    delegated at the time of the approval and not revoked since. Raises `DUAL_CONTROL_REQUIRED`.
    """
    if recomputed(request) != request.digest:
        raise dual_control("The request was changed after it was made.")
    counted = [approval for approval in request.approvals if _counts(approval, request, keys)]
    approvers = {approval.approver for approval in counted}
    tokens = {approval.token_id for approval in counted}
    if min(len(approvers), len(tokens)) < request.needed:
        message = f"{request.needed} other people have to approve; {len(approvers)} have."
        raise dual_control(message)


def _counts(
    approval: Approval, request: ApprovalRequest, keys: Mapping[str, VerificationKey]
) -> bool:
    if approval.approver == request.requester or approval.digest != request.digest:
        return False
    if not request.created_at <= approval.at < request.expires_at:
        return False
    key = keys.get(approval.key_id)
    if key is None or key.purpose is not KeyPurpose.PROCESS or key.revoked_at is not None:
        return False
    if key.valid_until is None or not key.valid_from <= approval.at < key.valid_until:
        return False
    signed = statement(
        request.key,
        approval.digest,
        approver=approval.approver,
        token_id=approval.token_id,
        at=approval.at,
    )
    try:
        PublicKey.from_pem(key.public_key_pem).verify(signed, approval.signature)
    except VerificationFailed:
        return False
    return True
