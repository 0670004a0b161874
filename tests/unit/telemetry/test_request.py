import re

import pytest

from subgraph.telemetry import accept_request_id, bind_request, new_request_id, request_id
from subgraph.telemetry.request import caller_trace

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_new_request_id_is_16_hex_digits() -> None:
    assert re.fullmatch("[0-9a-f]{16}", new_request_id())


def test_new_request_ids_differ() -> None:
    assert len({new_request_id() for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize("header", [b"a", b"A-b_c.9", b"x" * 64])
def test_a_plain_request_id_of_the_caller_is_kept(header: bytes) -> None:
    assert accept_request_id(header) == header.decode()


@pytest.mark.parametrize(
    "header",
    [None, b"", b"x" * 65, b"a b", b"a\n", b'"}', b"\xff", "é".encode(), b"${jndi:ldap://x}"],
)
def test_any_other_request_id_is_replaced(header: bytes | None) -> None:
    assert re.fullmatch("[0-9a-f]{16}", accept_request_id(header))


def test_the_bound_id_is_that_of_the_running_request() -> None:
    token = bind_request("r-1")
    bound = request_id.get()
    request_id.reset(token)
    assert (bound, request_id.get()) == ("r-1", None)


def test_a_traceparent_gives_trace_and_decision() -> None:
    assert caller_trace([(b"accept", b"*/*"), (b"traceparent", PARENT)]) == (TRACE, True)


def test_a_traceparent_without_the_flag_is_not_sampled() -> None:
    assert caller_trace([(b"traceparent", PARENT[:-2] + b"00")]) == (TRACE, False)


def test_a_later_version_may_carry_more() -> None:
    assert caller_trace([(b"traceparent", b"cc" + PARENT[2:] + b"-more")]) == (TRACE, True)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        PARENT.upper(),
        PARENT + b"-more",
        PARENT + b"\n",
        b"ff" + PARENT[2:],
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
        b"00-0af7651916cd43dd8448eb211c80319c-" + b"0" * 16 + b"-01",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
    ],
)
def test_a_malformed_traceparent_is_as_good_as_none(value: bytes) -> None:
    assert caller_trace([(b"traceparent", value)]) is None


def test_two_traceparents_are_as_good_as_none() -> None:
    assert caller_trace([(b"traceparent", PARENT)] * 2) is None
