import json

import pytest

from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.slice import read_slice, write_slice
from tests.unit.ledger.logs import complete_slice, edited, selected_slice, tenant_log

LOG = tenant_log(6)
COMPLETE = complete_slice(LOG, 2, 4)
TEXT = write_slice(COMPLETE)


def refusal(content):
    with pytest.raises(VerificationFailed) as raised:
        read_slice(content)
    return raised.value


@pytest.mark.parametrize("content", [COMPLETE, selected_slice(LOG, [0, 5], 3)])
def test_a_slice_comes_back_from_its_file(content):
    assert read_slice(write_slice(content)) == content


def test_the_file_holds_each_entry_as_the_text_that_was_hashed():
    texts = [item["entry"].encode() for item in json.loads(TEXT)["entries"]]
    assert texts == LOG.entries[2:]


def test_each_entry_has_a_line_of_its_own():
    lines = TEXT.decode().splitlines()
    assert sum(line.startswith('{"index":') for line in lines) == 4


@pytest.mark.parametrize("name", sorted(json.loads(TEXT)))
def test_a_missing_field_is_named(name):
    failure = refusal(edited(TEXT, lambda document: document.pop(name)))
    assert failure.finding is Finding.SLICE_MALFORMED
    assert name in failure.reason


@pytest.mark.parametrize(
    ("edit", "where"),
    [
        (lambda d: d.update(surplus=1), "slice"),
        (lambda d: d.update(mediaType="application/json"), "mediaType"),
        (lambda d: d.update(origin=None), "origin"),
        (lambda d: d.update(older=7), "older"),
        (lambda d: d.update(consistency={}), "consistency"),
        (lambda d: d.update(consistency=[7]), "consistency[0]"),
        (lambda d: d["complete"].update({"from": -1}), "complete.from"),
        (lambda d: d["complete"].update({"from": True}), "complete.from"),
        (lambda d: d["complete"].update(to=9), "complete"),
        (lambda d: d["entries"].insert(1, None), "entries[1]"),
        (lambda d: d["entries"][3].update(note="x"), "entries[3]"),
        (lambda d: d["entries"][3].update(index="5"), "entries[3].index"),
        (lambda d: d["entries"][3].update(entry=5), "entries[3].entry"),
        (lambda d: d["entries"][3].update(inclusion="x"), "entries[3].inclusion"),
        (lambda d: d["delegations"][0].pop("proof"), "delegations[0]"),
        (lambda d: d["keys"][0].update(trusted=True), "keys[0]"),
        (lambda d: d["keys"][0].update(purpose="rOOT"), "keys[0].purpose"),
    ],
)
def test_a_field_of_a_wrong_form_is_refused_at_its_place(edit, where):
    failure = refusal(edited(TEXT, edit))
    assert (failure.finding, failure.where) == (Finding.SLICE_MALFORMED, where)


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        (b"", Finding.JSON_MALFORMED),
        (TEXT[:-3], Finding.JSON_MALFORMED),
        (TEXT + b"{}", Finding.JSON_MALFORMED),
        (b"\xff" + TEXT, Finding.JSON_MALFORMED),
        (
            TEXT.replace(b'{"mediaType"', b'{"origin":"x","mediaType"', 1),
            Finding.JSON_DUPLICATE_KEY,
        ),
        (TEXT.replace(b'"index":2', b'"index":2.0'), Finding.NUMBER_REFUSED),
        (TEXT.replace(b'"index":2', b'"index":NaN'), Finding.NUMBER_REFUSED),
        (TEXT.replace(b'"index":2', b'"index":' + b"[" * 100_000), Finding.JSON_TOO_DEEP),
        (TEXT.replace(b"acme", b"acm\\ud800"), Finding.TEXT_NOT_UNICODE),
        (b"[]", Finding.SLICE_MALFORMED),
    ],
)
def test_what_is_no_slice_is_refused(content, finding):
    assert refusal(content).finding is finding


def test_a_hash_of_another_length_is_refused():
    failure = refusal(edited(TEXT, lambda d: d["consistency"].append("YQ==")))
    assert failure.finding is Finding.PROOF_LENGTH_WRONG
