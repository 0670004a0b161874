"""From claims to a principal."""

import pytest

from subgraph.http.claims import UnusableClaims, read_label, read_principal


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": "a:read b:write"},
        {"scopes": ["a:read", "b:write", "a:read"]},
        {"scp": ["b:write", "a:read"]},
        {"scp": " a:read   b:write "},
    ],
)
def test_scopes_are_read_in_every_usual_spelling(claims: dict[str, object]) -> None:
    assert read_principal({"sub": "s", **claims}).scopes == {"a:read", "b:write"}


def test_first_scope_claim_counts_alone() -> None:
    claims = {"sub": "s", "scope": "a:read", "scopes": ["platform:*"]}
    assert read_principal(claims).scopes == {"a:read"}


def test_token_without_scopes_holds_none() -> None:
    assert read_principal({"sub": "s"}).scopes == frozenset()


@pytest.mark.parametrize(
    "scopes",
    [None, 1, {"a:read": True}, ["a:read", 1], [["a:read"]], [""], ["a b"], ['a"'], ["a\\"]]
    + ["a\0b", "é", ["a" * 129], " ".join(f"s{number}" for number in range(257))],
)
def test_scopes_of_another_shape_are_refused(scopes: object) -> None:
    with pytest.raises(UnusableClaims, match="scope"):
        read_principal({"sub": "s", "scope": scopes})


@pytest.mark.parametrize(
    "tenant", [None, "", " ", 0, False, [], ["acme"], {}, "acme\0", "a b", 'a"', "é", "a" * 129]
)
def test_tenant_that_names_none_is_refused_and_not_taken_for_none(tenant: object) -> None:
    with pytest.raises(UnusableClaims, match="tenant"):
        read_principal({"sub": "s", "tenant": tenant, "scope": "platform:*"})


@pytest.mark.parametrize("subject", [None, "", 1, "a" * 256, "a\nb", "a\0b", "\u202e"])
def test_subject_out_of_bounds_is_refused(subject: object) -> None:
    with pytest.raises(UnusableClaims, match="sub"):
        read_principal({"sub": subject})


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"client_name": "a", "azp": "b", "client_id": "c"}, "a"),
        ({"azp": "b", "client_id": "c"}, "b"),
        ({"client_id": "c"}, "c"),
        ({"client_id": 7}, None),
        ({"client_name": ""}, None),
        ({}, None),
    ],
)
def test_client_name_is_the_first_that_is_given(claims: dict[str, object], name: object) -> None:
    assert read_principal({"sub": "s", **claims}).client_name == name


def test_label_is_bounded_and_plain() -> None:
    assert read_label('a"b\n' + "c" * 100) == "a_b_" + "c" * 60
