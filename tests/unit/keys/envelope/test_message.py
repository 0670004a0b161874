import os
import uuid
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from hypothesis import given
from hypothesis import strategies as st

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.envelope import message as envelope
from subgraph.keys.envelope.aad import BoundRecord, Domain, Place, RecordPlace, of_place
from subgraph.keys.envelope.datakey import DataKey
from subgraph.keys.envelope.header import NotAuthentic
from subgraph.kms.faults import KeyFault, KeyProviderError
from tests.unit.keys.samples import PLACE, RECORD, new_key

KEY = DataKey(uuid.UUID(int=1), bytes(range(32)))
SEALED = envelope.seal(KEY, PLACE, b"somebody@example.org")
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
places = st.builds(
    Place,
    st.builds(RecordPlace, texts, texts, st.uuids(), st.integers(0, 2**32 - 1)),
    texts,
)


@given(place=places, plaintext=st.binary(max_size=300))
def test_what_is_sealed_opens_in_its_place(place: Place, plaintext: bytes) -> None:
    message = envelope.seal(KEY, place, plaintext)
    assert len(message) == len(plaintext) + envelope.OVERHEAD_BYTES == len(plaintext) + 101
    assert envelope.data_key_id_of(message) == KEY.id
    assert envelope.open_(KEY, place, message) == plaintext


@pytest.mark.parametrize("at", range(len(SEALED)))
def test_a_change_of_any_byte_is_refused(at: int) -> None:
    for bit in range(8):
        changed = bytearray(SEALED)
        changed[at] ^= 1 << bit
        with pytest.raises(NotAuthentic):
            envelope.open_(KEY, PLACE, bytes(changed))


@given(st.integers(0, len(SEALED) - 1), st.binary(max_size=40))
def test_a_message_of_another_length_is_refused(length: int, more: bytes) -> None:
    for changed in (SEALED[:length], SEALED + b"\0" + more):
        with pytest.raises(NotAuthentic):
            envelope.open_(KEY, PLACE, changed)


@given(st.binary(max_size=300))
def test_what_is_no_message_is_refused(noise: bytes) -> None:
    for attempt in (noise, SEALED[:21] + noise):
        with pytest.raises(NotAuthentic):
            envelope.open_(KEY, PLACE, attempt)


@pytest.mark.parametrize(
    "place",
    [
        Place(replace(RECORD, tenant="other"), PLACE.field),
        Place(replace(RECORD, object_type="order"), PLACE.field),
        Place(replace(RECORD, object_id=uuid.UUID(int=8)), PLACE.field),
        Place(replace(RECORD, schema_version=2), PLACE.field),
        Place(RECORD, "phone"),
    ],
)
def test_a_message_that_was_moved_is_refused(place: Place) -> None:
    with pytest.raises(NotAuthentic):
        envelope.open_(KEY, place, SEALED)


def test_another_data_key_is_refused_also_under_the_same_id_or_with_the_same_bytes() -> None:
    for other in (new_key(), DataKey(KEY.id, bytes(32)), DataKey(uuid.uuid4(), bytes(range(32)))):
        with pytest.raises(NotAuthentic):
            envelope.open_(other, PLACE, SEALED)


def test_the_id_of_another_data_key_cannot_be_written_into_the_header() -> None:
    other = DataKey(uuid.uuid4(), bytes(range(32)))
    with pytest.raises(NotAuthentic):
        envelope.open_(other, PLACE, SEALED[:5] + other.id_bytes + SEALED[21:])


@given(places, places)
def test_no_two_places_have_the_same_associated_data(one: Place, other: Place) -> None:
    same = of_place(Domain.FIELD, one, KEY) == of_place(Domain.FIELD, other, KEY)
    assert same == (one == other)


def test_neighbouring_texts_do_not_run_into_each_other() -> None:
    one = Place(replace(RECORD, tenant="ab", object_type="c"), "f")
    other = Place(replace(RECORD, tenant="a", object_type="bc"), "f")
    assert of_place(Domain.FIELD, one, KEY) != of_place(Domain.FIELD, other, KEY)


def test_all_refusals_read_alike() -> None:
    changed = bytearray(SEALED)
    changed[-1] ^= 1
    attempts = [
        (PLACE, b""), (PLACE, b"x" * 200), (PLACE, bytes(changed)),
        (Place(replace(RECORD, tenant="other"), "email"), SEALED),
    ]  # fmt: skip
    seen = set()
    for place, message in attempts:
        with pytest.raises(SubgraphError) as refused:
            envelope.open_(KEY, place, message)
        assert refused.value.code is ErrorCode.INTEGRITY
        assert refused.value.__cause__ is None
        seen.add((str(refused.value), str(refused.value.details)))
    assert len(seen) == 1


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=300))
def test_keys_are_derived_by_hkdf_expand(key: bytes, info: bytes) -> None:
    expected = HKDFExpand(SHA512(), 32, info).derive(key)
    assert DataKey(uuid.uuid4(), key).derive(info) == expected


def test_two_messages_of_one_plaintext_have_nothing_in_common() -> None:
    other = envelope.seal(KEY, PLACE, b"somebody@example.org")
    assert other[:21] == SEALED[:21]
    assert not any(a == b for a, b in zip(_words(other), _words(SEALED), strict=True))


def test_fields_of_a_record_open_singly_and_together() -> None:
    texts = {f"field-{number}": os.urandom(number) for number in range(20)}
    sealed = envelope.seal_fields(KEY, RECORD, texts)
    assert envelope.open_fields(KEY, RECORD, sealed) == texts
    assert {n: envelope.open_(KEY, Place(RECORD, n), m) for n, m in sealed.items()} == texts
    assert BoundRecord.of(Domain.FIELD, RECORD, KEY).field("a") == of_place(
        Domain.FIELD, Place(RECORD, "a"), KEY
    )


def test_fields_that_changed_places_are_refused() -> None:
    sealed = envelope.seal_fields(KEY, RECORD, {"a": b"1", "b": b"2"})
    with pytest.raises(NotAuthentic):
        envelope.open_fields(KEY, RECORD, {"a": sealed["b"], "b": sealed["a"]})


def test_values_are_bounded() -> None:
    most = bytes(envelope.MOST_PLAINTEXT)
    assert envelope.open_(KEY, PLACE, envelope.seal(KEY, PLACE, most)) == most
    with pytest.raises(SubgraphError) as refused:
        envelope.seal(KEY, PLACE, most + b"x")
    assert refused.value.code is ErrorCode.INVALID_INPUT


def test_a_revoked_key_opens_and_seals_nothing() -> None:
    key = new_key()
    sealed = envelope.seal(key, PLACE, b"x")
    key.revoke(KeyFault.KEY_DISABLED)
    for attempt in (
        lambda: envelope.open_(key, PLACE, sealed),
        lambda: envelope.seal(key, PLACE, b""),
    ):
        with pytest.raises(KeyProviderError) as refused:
            attempt()
        assert refused.value.fault is KeyFault.KEY_DISABLED


def test_a_key_of_another_length_is_refused() -> None:
    for length in (0, 16, 31, 33, 64):
        with pytest.raises(KeyProviderError) as refused:
            DataKey(uuid.uuid4(), bytes(length))
        assert refused.value.fault is KeyFault.INTEGRITY


def test_a_key_does_not_show_in_its_text() -> None:
    assert repr(KEY) == f"DataKey({KEY.id})"


def test_names_that_are_not_unicode_are_refused() -> None:
    with pytest.raises(SubgraphError) as refused:
        envelope.seal(KEY, Place(RECORD, "\ud800"), b"")
    assert refused.value.code is ErrorCode.INVALID_INPUT


def test_the_data_key_of_what_is_no_message_is_not_told() -> None:
    for noise in (b"", SEALED[:100], b"X" + SEALED[1:], SEALED[:4] + b"\x09" + SEALED[5:]):
        with pytest.raises(NotAuthentic):
            envelope.data_key_id_of(noise)


def _words(message: bytes) -> list[bytes]:
    return [message[at : at + 8] for at in range(21, len(message) - 7, 8)]
