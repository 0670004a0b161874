"""A marker is found again in whatever copying and quoting make of it."""

import base64
import html
import json
import quopri
import re
import textwrap
import unicodedata
import urllib.parse
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subgraph.keys.breakglass import watermark
from subgraph.keys.breakglass.model import Place
from subgraph.keys.breakglass.watermark import Found

KEY = bytes(range(32))
PLACE = Place("customer", UUID(int=1), "email")
SHORT = watermark.short_id("acme", UUID(int=9))
TAG = watermark.tag(KEY, "acme", PLACE)
MARKER = watermark.marker(SHORT, TAG)
LEAKED = f"jane.doe@example.org{MARKER}, and so on"

COPIES: dict[str, Callable[[str], str]] = {
    "as it was": str,
    "ASCII with question marks": lambda text: text.encode("ascii", "replace").decode(),
    "ASCII without the rest": lambda text: text.encode("ascii", "ignore").decode(),
    "lower case": str.lower,
    "upper case": str.upper,
    "wrapped": lambda text: textwrap.fill(text, 17),
    "quoted in a mail": lambda text: textwrap.indent(textwrap.fill(text, 30), "> "),
    "letter by letter": "\n".join,
    "with soft hyphens": "\u00ad".join,
    "with zero-width spaces": "\u200b".join,
    "without white space": lambda text: re.sub(r"\s", "", text),
    "with long dashes": lambda text: text.replace("-", "\u2013"),
    "full width": lambda text: "".join(
        chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text
    ),
    "NFKD": lambda text: unicodedata.normalize("NFKD", text),
    "JSON": json.dumps,
    "HTML": lambda text: html.escape(text).encode("ascii", "xmlcharrefreplace").decode(),
    "URL": urllib.parse.quote,
    "quoted-printable": lambda text: quopri.encodestring(text.encode()).decode(),
    "UTF-8 read as Latin-1": lambda text: text.encode().decode("latin-1"),
    "misread by eye": lambda text: text.replace("0", "O").replace("1", "l"),
    "comma separated": lambda text: f'1;"{text}";2',
}


@pytest.mark.parametrize("copy", COPIES)
def test_a_marker_survives_being_copied(copy: str) -> None:
    assert Found(SHORT, TAG) in watermark.find(COPIES[copy](LEAKED))


def test_a_marker_can_be_seen() -> None:
    assert re.fullmatch(r" ⟦bg-[0-9A-Z]{12}-[0-9A-Z]{16}⟧", MARKER)
    assert MARKER.startswith(" " + watermark.prefix(SHORT))


def test_a_marker_that_was_cut_off_leaves_the_name_or_nothing() -> None:
    assert watermark.find(LEAKED[: LEAKED.index(TAG) + 4]) == [Found(SHORT, None)]
    assert watermark.find(LEAKED[: LEAKED.index(SHORT) + 11]) == []


def test_a_marker_in_base64_is_not_found() -> None:
    assert watermark.find(base64.b64encode(LEAKED.encode()).decode()) == []


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_marker_is_found_in_any_text(before: str, after: str) -> None:
    assert Found(SHORT, TAG) in watermark.find(f"{before}{MARKER}{after}")


PLACES = st.tuples(*[st.text("ab|", max_size=3)] * 3)


@given(PLACES, PLACES)
def test_two_places_have_two_tags(one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
    tags = [
        watermark.tag(KEY, tenant, Place(kind, UUID(int=1), name))
        for tenant, kind, name in (one, other)
    ]
    assert (tags[0] == tags[1]) is (one == other)


@given(st.binary(min_size=32, max_size=32))
def test_only_the_key_gives_the_tag(key: bytes) -> None:
    assert (watermark.tag(key, "acme", PLACE) == TAG) is (key == KEY)


def test_a_commitment_is_of_the_key() -> None:
    assert watermark.commitment(KEY) != watermark.commitment(KEY[::-1])
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", watermark.commitment(KEY))


def test_a_long_text_of_false_beginnings_is_read() -> None:
    assert {found.short_id for found in watermark.find("bg" * 500_000)} == {"BG" * 6}
