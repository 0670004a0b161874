"""Slices that tests change, and what is said of them."""

from dataclasses import replace

import pytest

from subgraph.ledger.errors import VerificationFailed
from subgraph.ledger.slice import SliceEntry, write_slice
from subgraph.ledger.verification import verify_slice
from tests.unit.ledger.logs import (
    PROCESS,
    ROOT,
    Key,
    complete_slice,
    delegate,
    deployment_log,
    selected_slice,
    tenant_log,
)

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
