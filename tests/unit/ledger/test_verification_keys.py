"""The tamper table of keys: delegations, revocations, roots and witnesses."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from subgraph.ledger.cosignature import CosignatureVerifier, cosignature, cosigned_message
from subgraph.ledger.entry import write_time
from subgraph.ledger.errors import Finding
from subgraph.ledger.note import signature_line
from subgraph.ledger.slice import SliceKey, write_slice
from tests.unit.ledger.logs import (
    DEPLOYMENT,
    PROCESS,
    ROOT,
    START,
    STRANGER,
    TENANT,
    complete_slice,
    delegate,
    deployment_log,
    note,
    revoke,
    tenant_log,
)
from tests.unit.ledger.slices import (
    LOG,
    NEW_ROOT,
    SLICE,
    TEXT,
    named,
    verified,
    with_delegation,
)

WITNESS_KEY = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\x05")
WITNESS = CosignatureVerifier.of(
    "witness.example/w1", WITNESS_KEY.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
)


def test_the_ed25519_key_of_a_witness_may_be_looked_up():
    pem = WITNESS_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = WITNESS_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key = SliceKey(sha256(der).hexdigest(), "WITNESS", pem.decode())
    assert verified(replace(SLICE, keys=(*SLICE.keys, key))).entries == 11


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
