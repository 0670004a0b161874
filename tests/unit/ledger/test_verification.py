"""The tamper table: what a slice can be made to say, and the finding that names it."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import utils

from subgraph.errors import ErrorCode
from subgraph.ledger.entry import decode
from subgraph.ledger.errors import Finding
from subgraph.ledger.merkle import consistency_path, leaf_hash
from subgraph.ledger.note import Checkpoint, signature_line
from subgraph.ledger.slice import SliceEntry, write_slice
from tests.unit.ledger.logs import (
    DEPLOYMENT,
    PROCESS,
    ROOT,
    STRANGER,
    TENANT,
    Log,
    complete_slice,
    delegate,
    deployment_log,
    edited,
    flipped,
    note,
    revoke,
    tenant_log,
)
from tests.unit.ledger.slices import (
    LOG,
    NEW_ROOT,
    SELECTION,
    SLICE,
    TEXT,
    named,
    refusal,
    resigned,
    verified,
)

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize(
    ("start", "older"), [(0, 0), (0, 7), (3, 7), (7, 7), (9, 7), (11, 7), (0, 11), (11, 11)]
)
def test_every_part_of_a_log_verifies(start, older):
    report = verified(complete_slice(LOG, start, older))
    assert (report.entries, report.older.size, report.newer.size) == (11 - start, older, 11)
    assert report.complete


def test_a_selection_verifies_and_says_that_it_is_one():
    report = verified(SELECTION)
    assert (report.entries, report.first, report.last, report.complete) == (3, 2, 10, False)
    assert report.signers == (PROCESS.public.key_id,)


def test_an_empty_log_verifies():
    report = verified(complete_slice(Log(), 0, 0))
    assert (report.entries, report.first, report.newer.size) == (0, None, 0)


def test_the_deployment_log_verifies_with_its_delegations_and_revocations():
    log = deployment_log()
    delegate(log)
    revoke(log, PROCESS, TENANT, 5)
    assert verified(complete_slice(log, 0, 2)).entries == 5


def test_the_malleable_twin_of_a_signature_changes_nothing():
    r, s = utils.decode_dss_signature(LOG.signatures[4])
    twin = replace(SLICE.entries[4], signature=utils.encode_dss_signature(r, ORDER - s))
    assert twin.signature != LOG.signatures[4]
    changed = replace(SLICE, entries=(*SLICE.entries[:4], twin, *SLICE.entries[5:]))
    assert verified(changed) == verified(SLICE)


def test_old_proofs_hold_after_the_root_has_changed():
    # The log goes on under a new root; its older checkpoint keeps the old one's signature.
    changed = replace(SLICE, newer=note(LOG.checkpoint(), NEW_ROOT))
    assert verified(changed, (ROOT, NEW_ROOT)).newer.size == 11
    assert named(write_slice(changed)) == (Finding.NOTE_SIGNATURE_MISSING, "newer")


def test_an_edited_body_is_found_by_its_signature():
    changed = TEXT.replace(b'\\"number\\":3', b'\\"number\\":4')
    assert named(changed) == (Finding.SIGNATURE_INVALID, "entries[3]")


def test_an_edited_body_that_the_service_signs_anew_is_found_by_the_tree():
    forged = resigned(LOG, 3, b'"number":3', b'"number":4')
    changed = replace(SLICE, entries=(*SLICE.entries[:3], forged, *SLICE.entries[4:]))
    assert named(write_slice(changed)) == (Finding.ROOT_MISMATCH, "older")


def test_an_edit_after_the_older_checkpoint_is_found_at_the_newer_one():
    forged = resigned(LOG, 9, b'"number":9', b'"number":4')
    changed = replace(SLICE, entries=(*SLICE.entries[:9], forged, SLICE.entries[10]))
    assert named(write_slice(changed)) == (Finding.ROOT_MISMATCH, "newer")


def test_a_deleted_last_entry_is_found():
    changed = edited(TEXT, lambda d: d["entries"].pop())
    assert named(changed) == (Finding.ENTRY_MISSING, "entries")


def test_a_deleted_entry_in_the_middle_is_found():
    changed = edited(TEXT, lambda d: d["entries"].pop(5))
    assert named(changed) == (Finding.ENTRY_MISSING, "entries[5]")


def test_swapped_entries_are_found():
    def swap(document):
        first, second = document["entries"][4:6]
        first["index"], second["index"] = second["index"], first["index"]
        document["entries"][4:6] = [second, first]

    assert named(edited(TEXT, swap)) == (Finding.ROOT_MISMATCH, "older")


def test_an_inserted_entry_is_found():
    longer = tenant_log(11)
    longer.record(payload={"inserted": True})
    extra = SliceEntry(5, longer.entries[11], longer.signatures[11])
    moved = [replace(item, index=item.index + 1) for item in SLICE.entries[5:]]
    changed = replace(SLICE, entries=(*SLICE.entries[:5], extra, *moved))
    assert named(write_slice(changed)) == (Finding.ENTRY_MISSING, "entries")
    cut = replace(changed, entries=changed.entries[:11])
    assert named(write_slice(cut)) == (Finding.ROOT_MISMATCH, "older")


def test_a_log_cut_to_an_older_size_is_found():
    changed = replace(SLICE, older=SLICE.newer, newer=SLICE.older, entries=SLICE.entries[:7])
    assert named(write_slice(changed)) == (Finding.SIZES_OUT_OF_ORDER, "consistency")


def test_a_restored_dump_that_went_on_differently_is_found():
    # Restored to size 5, then other events: the old checkpoint at 7 is no longer continued.
    restored = tenant_log(5)
    for number in range(6):
        restored.record(payload={"after": number})
    changed = complete_slice(restored, 0, 7, older=note(LOG.checkpoint(7)))
    assert named(write_slice(changed)) == (Finding.CONSISTENCY_INVALID, "consistency")


def test_a_replaced_tenant_log_is_found():
    other = Log()
    for number in range(11):
        other.record(payload={"other": number})
    changed = complete_slice(other, 0, 7, older=SLICE.older)
    assert named(write_slice(changed)) == (Finding.CONSISTENCY_INVALID, "consistency")


def test_two_notes_of_one_size_are_portable_evidence():
    other = replace(LOG.checkpoint(), root=bytes(32))
    evidence = replace(SLICE, older=note(other), consistency=())
    assert named(write_slice(evidence)) == (Finding.SPLIT_VIEW, "consistency")


def test_an_empty_log_with_another_root_is_found():
    fake = note(Checkpoint(TENANT, 0, leaf_hash(b"")))
    changed = complete_slice(Log(), 0, 0, older=fake, newer=fake)
    assert named(write_slice(changed)) == (Finding.EMPTY_ROOT_WRONG, "consistency")


def test_a_changed_node_of_the_frontier_is_found():
    changed = edited(
        write_slice(complete_slice(LOG, 5, 7)),
        lambda d: d["complete"]["frontier"].__setitem__(0, flipped(d["complete"]["frontier"][0])),
    )
    assert named(changed) == (Finding.ROOT_MISMATCH, "older")


def test_a_frontier_of_another_size_is_found():
    changed = edited(TEXT, lambda d: d["complete"].update({"from": 1}))
    assert named(changed) == (Finding.PROOF_LENGTH_WRONG, "complete")


def test_a_changed_node_of_the_consistency_proof_is_found():
    changed = edited(TEXT, lambda d: d["consistency"].__setitem__(1, flipped(d["consistency"][1])))
    assert named(changed) == (Finding.CONSISTENCY_INVALID, "consistency")


def test_a_changed_node_of_an_inclusion_path_is_found():
    def edit(document):
        path = document["entries"][1]["inclusion"]
        path[2] = flipped(path[2])

    changed = edited(write_slice(SELECTION), edit)
    assert named(changed) == (Finding.INCLUSION_INVALID, "entries[1]")


def test_an_index_past_the_size_is_found():
    changed = edited(write_slice(SELECTION), lambda d: d["entries"][2].update(index=11))
    assert named(changed) == (Finding.INDEX_OUT_OF_RANGE, "entries[2]")


def test_an_entry_at_another_index_is_found():
    changed = edited(write_slice(SELECTION), lambda d: d["entries"][1].update(index=4))
    assert named(changed)[0] in {Finding.INCLUSION_INVALID, Finding.PROOF_LENGTH_WRONG}


def test_a_selected_entry_without_a_path_is_found():
    changed = edited(write_slice(SELECTION), lambda d: d["entries"][1].pop("inclusion"))
    assert named(changed) == (Finding.ENTRY_UNPROVEN, "entries[1]")


def test_an_entry_given_twice_is_found():
    changed = edited(write_slice(SELECTION), lambda d: d["entries"].append(d["entries"][-1]))
    assert named(changed) == (Finding.EVENT_ID_REUSED, "entries[3]")


def test_an_event_id_with_two_contents_is_found():
    log = tenant_log(3)
    log.record(event_id=decode(log.entries[1]).event_id)
    assert named(write_slice(complete_slice(log, 0, 2))) == (Finding.EVENT_ID_REUSED, "entries[3]")


def test_an_entry_of_another_log_is_found():
    other = Log(DEPLOYMENT)
    other.record(key=PROCESS)
    foreign = SliceEntry(0, other.entries[0], other.signatures[0])
    changed = replace(SLICE, entries=(foreign, *SLICE.entries[1:]))
    assert named(write_slice(changed)) == (Finding.ORIGIN_MISMATCH, "entries[0]")


def test_an_entry_that_is_not_canonical_is_found():
    changed = TEXT.replace(b'{\\"actor\\":', b'{ \\"actor\\":', 1).replace(
        b'"entry":"{\\"actor\\":', b'"entry":"{ \\"actor\\":'
    )
    assert refusal(changed).finding is Finding.JSON_NOT_CANONICAL


@pytest.mark.parametrize("name", ["older", "newer"])
def test_an_edited_root_or_size_is_found(name):
    text = getattr(SLICE, name)
    size, root = text.split("\n")[1:3]
    for changed in (text.replace(f"\n{size}\n", "\n8\n"), text.replace(root, flipped(root))):
        assert named(write_slice(replace(SLICE, **{name: changed}))) == (
            Finding.SIGNATURE_INVALID,
            name,
        )


def test_a_checkpoint_of_another_log_is_found():
    other = note(replace(LOG.checkpoint(), origin=f"{TENANT}x"))
    changed = replace(SLICE, newer=other)
    assert named(write_slice(changed)) == (Finding.NOTE_SIGNATURE_MISSING, "newer")


def test_a_body_of_another_log_under_this_log_s_name_is_found():
    body = replace(LOG.checkpoint(), origin=f"{TENANT}x")
    line = signature_line(TENANT, ROOT.public.fingerprint[:4], ROOT.sign(body.body()))
    changed = replace(SLICE, newer=body.body().decode() + "\n" + line)
    assert named(write_slice(changed)) == (Finding.ORIGIN_MISMATCH, "newer")


def test_a_slice_is_not_trusted_for_the_keys_that_it_carries():
    assert named(TEXT, (STRANGER,)) == (Finding.NOTE_SIGNATURE_MISSING, "older")
    assert named(TEXT, ()) == (Finding.NOTE_SIGNATURE_MISSING, "older")


def test_a_key_under_another_id_is_found():
    changed = edited(TEXT, lambda d: d["keys"][0].update(publicKeyPem=STRANGER.public.pem))
    assert named(changed) == (Finding.KEY_ID_MISMATCH, "keys[0]")


def test_every_flipped_byte_of_a_slice_is_found():
    for place in range(0, len(TEXT), 5):
        changed = bytearray(TEXT)
        changed[place] ^= 1
        refusal(bytes(changed))


def test_a_failure_is_a_422_with_the_finding_and_the_place():
    failure = refusal(edited(TEXT, lambda d: d["entries"].pop()))
    assert failure.code is ErrorCode.LEDGER_INVALID
    assert failure.extensions == {
        "code": "LEDGER_INVALID",
        "finding": "ENTRY_MISSING",
        "where": "entries",
    }


def test_the_consistency_of_other_sizes_does_not_pass():
    changed = replace(SLICE, consistency=consistency_path(6, 11).assemble(LOG.nodes))
    assert named(write_slice(changed))[1] == "consistency"
