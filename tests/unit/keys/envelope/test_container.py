import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.envelope import container
from subgraph.keys.envelope import message as envelope
from subgraph.keys.envelope.header import NotAuthentic
from tests.unit.keys.samples import RECORD, new_key

KEY = new_key()
FIELDS = envelope.seal_fields(KEY, RECORD, {"b": b"1", "a": b"22", "\u00e9": b""})
PACKED = container.pack(FIELDS)
names = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=100)
messages = st.binary(min_size=101, max_size=300)


@given(st.dictionaries(names, messages, max_size=8))
def test_what_is_packed_is_unpacked_in_order(fields: dict[str, bytes]) -> None:
    unpacked = container.unpack(container.pack(fields))
    assert unpacked == fields
    assert list(unpacked) == sorted(fields)


@given(st.data())
def test_a_container_that_parses_is_the_only_encoding_of_its_fields(data: st.DataObject) -> None:
    changed = bytearray(PACKED)
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(PACKED) - 1))] = data.draw(st.integers(0, 255))
    try:
        parsed = container.unpack(bytes(changed))
    except NotAuthentic:
        return
    assert container.pack(parsed) == bytes(changed)


@pytest.mark.parametrize("length", range(len(PACKED)))
def test_a_container_that_was_cut_is_refused(length: int) -> None:
    with pytest.raises(NotAuthentic):
        container.unpack(PACKED[:length])


@given(st.binary(max_size=200))
def test_noise_is_refused(noise: bytes) -> None:
    for attempt in (b"CMF\x01\x00\x01" + noise, PACKED + b"\0" + noise):
        with pytest.raises(NotAuthentic):
            container.unpack(attempt)


def test_fields_out_of_order_or_named_twice_are_refused() -> None:
    message = FIELDS["a"]
    one = b"\0\x01b" + len(message).to_bytes(4) + message
    two = b"\0\x01a" + len(message).to_bytes(4) + message
    for entries in (one + two, one + one):
        with pytest.raises(NotAuthentic):
            container.unpack(b"CMF\x01\x00\x02" + entries)
    assert list(container.unpack(b"CMF\x01\x00\x02" + two + one)) == ["a", "b"]


@pytest.mark.parametrize("name", ["", "x" * 101, "e\u0301", "\ud800"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(SubgraphError) as refused:
        container.pack({name: FIELDS["a"]})
    assert refused.value.code is ErrorCode.INVALID_INPUT
    encoded = name.encode("utf-8", "surrogatepass")
    message = FIELDS["a"]
    entry = len(encoded).to_bytes(2) + encoded + len(message).to_bytes(4) + message
    with pytest.raises(NotAuthentic):
        container.unpack(b"CMF\x01\x00\x01" + entry)


def test_bounds_are_kept() -> None:
    largest = bytes(container.MOST_MESSAGE_BYTES)
    for fields in (
        {f"f{number}": FIELDS["a"] for number in range(201)},
        {"f": largest + b"x"},
        {"f": b"plain"},
        {f"f{number}": largest for number in range(16)},
    ):
        with pytest.raises(SubgraphError) as refused:
            container.pack(fields)
        assert refused.value.code is ErrorCode.INVALID_INPUT
    full = {f"f{number}": largest for number in range(15)}
    assert container.unpack(container.pack(full)) == full


def test_a_container_larger_than_its_bound_is_refused_unread() -> None:
    with pytest.raises(NotAuthentic):
        container.unpack(b"CMF\x01\x00\x00" + bytes(container.MOST_BYTES))
    assert container.unpack(container.pack({})) == {}
