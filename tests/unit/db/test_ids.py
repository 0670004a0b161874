"""Public ids: opaque, typed, of one tenant, and made by nobody else."""

import base64
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.db import ids
from subgraph.db.ids import EntityId, IdKind

KEY = UUID("0f0e0d0c-0b0a-4908-8706-050403020100")
TENANTS = st.from_regex(r"[a-z][a-z0-9-]{1,62}", fullmatch=True)
KINDS = st.sampled_from(IdKind)


@given(KINDS, TENANTS, st.uuids())
def test_what_was_encoded_is_decoded(kind: IdKind, tenant: str, key: UUID) -> None:
    assert ids.decode(kind, ids.encode(kind, tenant, key)) == EntityId(kind, tenant, key)


@given(TENANTS, st.uuids())
def test_an_id_of_another_kind_is_none(tenant: str, key: UUID) -> None:
    text = ids.encode(IdKind.DATASET, tenant, key)
    assert ids.decode(IdKind.DATASET_SOURCE, text) is None


@given(KINDS, st.text(max_size=200))
def test_arbitrary_text_is_none(kind: IdKind, text: str) -> None:
    assert ids.decode(kind, text) is None


@given(KINDS, st.binary(max_size=150))
def test_arbitrary_bytes_are_none_or_an_id_in_its_one_form(kind: IdKind, raw: bytes) -> None:
    text = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    found = ids.decode(kind, text)
    assert found is None or ids.encode(found.kind, found.tenant, found.key) == text


@given(st.data())
def test_an_id_has_one_spelling(data: st.DataObject) -> None:
    text = ids.encode(IdKind.DATASET, data.draw(TENANTS), data.draw(st.uuids()))
    place = data.draw(st.integers(0, len(text) - 1))
    other = text[:place] + data.draw(st.characters()) + text[place + 1 :]
    found = ids.decode(IdKind.DATASET, other)
    assert found is None or ids.encode(IdKind.DATASET, found.tenant, found.key) == other


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + "=",
        lambda text: text + "\n",
        lambda text: " " + text,
        lambda text: text.replace("_", "/").replace("-", "+") + "A",
        lambda text: text[:-1],
        lambda text: text * 10,
        lambda _: "",
        lambda _: "\ud800",
        lambda _: "é" * 40,
    ],
)
def test_another_spelling_is_none(change: object) -> None:
    assert callable(change)
    assert ids.decode(IdKind.DATASET, change(ids.encode(IdKind.DATASET, "t-a", KEY))) is None


@pytest.mark.parametrize("tenant", ["", "a\x00b", "a\nb"])
def test_an_id_without_a_printable_tenant_is_none(tenant: str) -> None:
    assert ids.decode(IdKind.DATASET, ids.encode(IdKind.DATASET, tenant, KEY)) is None


def test_the_form_stays_as_it_was_published() -> None:
    text = ids.encode(IdKind.DATASET, "aldermoor-health", KEY)
    assert text == "AQEPDg0MCwpJCIcGBQQDAgEAYWxkZXJtb29yLWhlYWx0aA"
