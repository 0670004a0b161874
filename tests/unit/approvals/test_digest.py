"""The digest is of everything that an approval is for, and the signature says whose it is."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.approvals.digest import recomputed, request_digest, statement
from subgraph.approvals.model import ApprovalRequest, RequestKey, RequestState

AT = datetime(2026, 11, 24, tzinfo=UTC)
KEY = RequestKey("acme", "testing", UUID(int=1))
MADE = ApprovalRequest(
    KEY, "ann", '{"a":1}', "", RequestState.REQUESTED, 2, AT, AT + timedelta(hours=4), (), None
)


@pytest.mark.parametrize(
    "changed",
    [
        replace(MADE, key=replace(KEY, tenant="other")),
        replace(MADE, key=replace(KEY, kind="other")),
        replace(MADE, key=replace(KEY, request_id=UUID(int=2))),
        replace(MADE, requester="ben"),
        replace(MADE, payload='{"a":2}'),
        replace(MADE, needed=3),
        replace(MADE, created_at=AT + timedelta(microseconds=1)),
        replace(MADE, expires_at=AT + timedelta(hours=5)),
    ],
)
def test_whatever_differs_the_digest_differs(changed: ApprovalRequest) -> None:
    assert recomputed(changed) != recomputed(MADE)


def test_what_happens_later_is_no_part_of_the_digest() -> None:
    assert recomputed(replace(MADE, state=RequestState.APPROVED)) == recomputed(MADE)


def test_a_payload_that_is_not_canonical_has_no_digest() -> None:
    assert recomputed(replace(MADE, payload='{ "a": 1 }')) is None


@given(st.dictionaries(st.text("abcé", max_size=4), st.integers(-9, 9) | st.booleans()))
def test_the_order_of_members_makes_no_difference(payload: dict[str, int | bool]) -> None:
    def digest(members: dict[str, int | bool]) -> str:
        return request_digest(
            KEY, requester="ann", payload=dict(members), needed=2, created_at=AT, expires_at=AT
        )

    assert digest(payload) == digest(dict(reversed(payload.items())))


def test_the_statement_says_that_the_service_signs() -> None:
    signed = statement(KEY, "sha256:" + "ab" * 32, approver="ben", token_id="jti-1", at=AT)
    told = msgspec.json.decode(signed[signed.index(b"{") :])
    assert told["subject"][0]["digest"]["sha256"] == "ab" * 32
    assert told["predicate"] == {
        "tenant": "acme",
        "approver": "ben",
        "tokenId": "jti-1",
        "approvedAt": "2026-11-24T00:00:00.000000Z",
        "signedBy": "the service, for the approver whose token was presented",
    }
