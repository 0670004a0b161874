import pytest

from subgraph.ledger import origin
from subgraph.ledger.errors import EntryInvalid


def test_a_tenant_log_stands_beside_its_deployment_log():
    log = origin.tenant_log("governance-subgraph.local", "acme")
    assert log == "governance-subgraph.local/tenant/acme"
    assert origin.tenant_of(log) == "acme"
    assert origin.deployment_beside(log) == "governance-subgraph.local/deployment"


def test_a_deployment_log_has_no_tenant():
    log = origin.deployment_log("a.example/b")
    assert origin.tenant_of(log) is None
    assert origin.deployment_beside(log) == log


@pytest.mark.parametrize("base", ["", "A", "a b", "a+b", "a\n", "/a", "a/", "a" * 129, "é"])
def test_a_base_that_cannot_stand_in_a_note_is_refused(base):
    with pytest.raises(EntryInvalid):
        origin.deployment_log(base)


@pytest.mark.parametrize("tenant", ["", "_deployment", "A", "a/b", "a", "../x"])
def test_what_no_tenant_id_is_makes_no_log(tenant):
    with pytest.raises(EntryInvalid):
        origin.tenant_log("a.example", tenant)
