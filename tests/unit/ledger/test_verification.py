"""The tamper table: what a slice can be made to say, and the finding that names it."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from subgraph.errors import ErrorCode
from subgraph.ledger.cosignature import CosignatureVerifier, cosignature, cosigned_message
from subgraph.ledger.entry import decode, write_time
from subgraph.ledger.errors import Finding, VerificationFailed
from subgraph.ledger.merkle import consistency_path, leaf_hash
from subgraph.ledger.note import Checkpoint, signature_line
from subgraph.ledger.slice import SliceEntry, SliceKey, write_slice
from subgraph.ledger.verification import verify_slice
from tests.unit.ledger.logs import (
    DEPLOYMENT,
    PROCESS,
    ROOT,
    START,
    STRANGER,
    TENANT,
    Key,
    Log,
    complete_slice,
    delegate,
    deployment_log,
    edited,
    flipped,
    note,
    revoke,
    selected_slice,
    tenant_log,
)

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
LOG = tenant_log(11)
SLICE = complete_slice(LOG, 0, 7)
TEXT = write_slice(SLICE)
SELECTION = selected_slice(LOG, [2, 3, 10], 7)
NEW_ROOT = Key.number(44)


def refusal(content, roots=(ROOT,), witnesses=()):
    with pytest.raises(VerificationFailed) as raised:
        verify_slice(content, [root.public for root in roots], witnesses)
    return raised.value


def named(content, *arguments):
    failure = refusal(content, *arguments)
    return failure.finding, failure.where


def verified(content, roots=(ROOT,), witnesses=()):
    return verify_slice(write_slice(content), [root.public for root in roots], witnesses)


def resigned(log, index, old, new, key=PROCESS):
    """The log with an entry that its own process key has signed anew."""
    entry = log.entries[index].replace(old, new)
    assert entry != log.entries[index]
    return SliceEntry(index, entry, key.sign_entry(entry))


def with_delegation(content, **changes):
    deployment = deployment_log()
    return replace(content, delegations=(deployment.statement(delegate(deployment, **changes)),))


# --- what holds


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


# --- the entries and the tree


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


# --- the checkpoints


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


def test_the_ed25519_key_of_a_witness_may_be_looked_up():
    pem = WITNESS_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = WITNESS_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = SliceKey(sha256(der).hexdigest(), "WITNESS", pem.decode())
    assert verified(replace(SLICE, keys=(*SLICE.keys, key))).entries == 11


# --- keys, delegations, revocations


def test_an_entry_of_a_key_that_nobody_delegated_is_found():
    assert named(write_slice(replace(SLICE, delegations=()))) == (
        Finding.KEY_NOT_DELEGATED,
        "entries[0]",
    )


def test_an_entry_signed_by_another_key_than_it_names_is_found():
    forged = replace(SLICE.entries[2], signature=STRANGER.sign_entry(LOG.entries[2]))
    changed = replace(SLICE, entries=(*SLICE.entries[:2], forged, *SLICE.entries[3:]))
    assert named(write_slice(changed)) == (Finding.SIGNATURE_INVALID, "entries[2]")


@pytest.mark.parametrize(
    ("bounds", "place"),
    [
        ({"notBefore": write_time(START + timedelta(seconds=4))}, "entries[0]"),
        ({"notAfter": write_time(START + timedelta(seconds=4))}, "entries[4]"),
    ],
)
def test_an_entry_outside_the_delegated_time_is_found(bounds, place):
    changed = write_slice(with_delegation(SLICE, **bounds))
    assert named(changed) == (Finding.KEY_OUT_OF_TIME, place)


def test_a_key_that_was_delegated_twice_may_sign_in_both_times():
    deployment = deployment_log()
    middle = write_time(START + timedelta(seconds=5))
    both = delegate(deployment, notAfter=middle), delegate(deployment, notBefore=middle)
    statements = tuple(deployment.statement(index) for index in both)
    assert verified(replace(SLICE, delegations=statements)).entries == 11


def test_a_delegation_by_a_stranger_is_found():
    changed = write_slice(with_delegation(SLICE, by=STRANGER))
    assert named(changed) == (Finding.KEY_UNTRUSTED, "delegations[0]")


def test_a_process_key_cannot_delegate():
    deployment = deployment_log()
    first, second = delegate(deployment), delegate(deployment, STRANGER, by=PROCESS)
    statements = deployment.statement(first), deployment.statement(second)
    changed = write_slice(replace(SLICE, delegations=statements))
    assert named(changed) == (Finding.KEY_UNTRUSTED, "delegations[1]")


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"keyId": STRANGER.public.key_id}, Finding.KEY_ID_MISMATCH),
        ({"publicKeyPem": STRANGER.public.pem}, Finding.KEY_ID_MISMATCH),
        ({"publicKeyPem": "no key"}, Finding.KEY_INVALID),
        ({"delegatedBy": STRANGER.public.key_id}, Finding.DELEGATION_INVALID),
        ({"notBefore": 5}, Finding.DELEGATION_INVALID),
        ({"notAfter": "tomorrow"}, Finding.ENTRY_MALFORMED),
        ({"surplus": 1}, Finding.DELEGATION_INVALID),
    ],
)
def test_a_delegation_of_a_wrong_form_is_found(change, finding):
    changed = write_slice(with_delegation(SLICE, **change))
    assert named(changed) == (finding, "delegations[0]")


def test_a_delegation_that_the_deployment_log_does_not_hold_is_found():
    recorded, forged = deployment_log(), deployment_log()
    real = recorded.statement(delegate(recorded))
    fake = forged.statement(delegate(forged, STRANGER))
    changed = write_slice(replace(SLICE, delegations=(replace(fake, proof=real.proof),)))
    assert named(changed) == (Finding.INCLUSION_INVALID, "delegations[0].proof")


def test_another_entry_in_the_place_of_a_delegation_is_found():
    deployment = deployment_log()
    changed = write_slice(replace(SLICE, delegations=(deployment.statement(1),)))
    assert named(changed) == (Finding.DELEGATION_INVALID, "delegations[0]")


def test_a_delegation_in_a_tenant_log_is_found():
    log = tenant_log(2)
    changed = write_slice(replace(SLICE, delegations=(log.statement(delegate(log)),)))
    assert named(changed) == (Finding.ORIGIN_MISMATCH, "delegations[0]")


def revoked_from(index, origin=TENANT, key=PROCESS, **changes):
    deployment = deployment_log()
    delegated = delegate(deployment)
    revoked = revoke(deployment, key, origin, index, **changes)
    return replace(
        SLICE,
        delegations=(deployment.statement(delegated),),
        revocations=(deployment.statement(revoked),),
    )


def test_a_revoked_key_counts_before_its_index_and_not_from_it_on():
    assert named(write_slice(revoked_from(6))) == (Finding.KEY_REVOKED, "entries[6]")
    assert verified(revoked_from(11)).entries == 11


def test_a_revocation_speaks_of_one_log_and_one_key():
    assert verified(revoked_from(0, origin=DEPLOYMENT)).entries == 11
    assert verified(revoked_from(0, key=STRANGER)).entries == 11


def test_a_stranger_cannot_revoke():
    changed = write_slice(revoked_from(0, by=STRANGER))
    assert named(changed) == (Finding.KEY_UNTRUSTED, "revocations[0]")


def test_a_checkpoint_by_a_revoked_root_is_found():
    changed = revoked_from(9, key=ROOT, by=NEW_ROOT)
    proofs = deployment_log()
    delegated, revoked = delegate(proofs), revoke(proofs, ROOT, TENANT, 9, by=NEW_ROOT)
    changed = replace(
        changed,
        delegations=(proofs.statement(delegated),),
        revocations=(proofs.statement(revoked),),
    )
    assert named(write_slice(changed), (ROOT, NEW_ROOT)) == (Finding.KEY_REVOKED, "newer")


def test_a_revocation_among_the_entries_counts_too():
    log = deployment_log()
    delegate(log)
    log.record(key=PROCESS)
    revoke(log, PROCESS, DEPLOYMENT, 5)
    log.record(key=PROCESS)
    changed = write_slice(complete_slice(log, 0, 2))
    assert named(changed) == (Finding.KEY_REVOKED, "entries[6]")


def test_a_delegation_by_a_root_after_its_revocation_is_found():
    deployment = deployment_log()
    revoked = revoke(deployment, ROOT, DEPLOYMENT, 4, by=NEW_ROOT)
    delegated = delegate(deployment)
    changed = replace(
        SLICE,
        delegations=(deployment.statement(delegated),),
        revocations=(deployment.statement(revoked),),
    )
    assert named(write_slice(changed), (ROOT, NEW_ROOT)) == (Finding.KEY_REVOKED, "delegations[0]")


# --- witnesses

WITNESS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\x05")
WITNESS = CosignatureVerifier.of(
    "witness.example/w1", WITNESS_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
)


def cosigned(checkpoint, signed=None):
    body = (signed or checkpoint).body()
    signature = cosignature(1_790_000_000, WITNESS_KEY.sign(cosigned_message(1_790_000_000, body)))
    return note(checkpoint) + signature_line(WITNESS.name, WITNESS.hint, signature)


def test_a_witness_is_named_when_it_cosigned_both_checkpoints():
    content = replace(SLICE, older=cosigned(LOG.checkpoint(7)), newer=cosigned(LOG.checkpoint()))
    assert verified(content, witnesses=[WITNESS]).witnesses == ("witness.example/w1",)
    assert verified(content).witnesses == ()


def test_a_checkpoint_that_no_trusted_witness_cosigned_is_found():
    assert named(TEXT, (ROOT,), [WITNESS]) == (Finding.COSIGNATURE_MISSING, "older")


def test_a_cosignature_of_another_checkpoint_is_found():
    content = replace(
        SLICE,
        older=cosigned(LOG.checkpoint(7)),
        newer=cosigned(LOG.checkpoint(), signed=LOG.checkpoint(10)),
    )
    assert named(write_slice(content), (ROOT,), [WITNESS]) == (Finding.SIGNATURE_INVALID, "newer")


def test_a_witness_alone_does_not_speak_for_the_log():
    lone = cosigned(LOG.checkpoint(7)).replace(note(LOG.checkpoint(7)).splitlines()[-1] + "\n", "")
    content = replace(SLICE, older=lone)
    assert named(write_slice(content), (ROOT,), [WITNESS]) == (
        Finding.NOTE_SIGNATURE_MISSING,
        "older",
    )


# --- all of it


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
