"""Where all tenants' keys are reached with one credential, a key bears its tenant's name."""

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.keys.custody.ownership import check_owner
from subgraph.kms.contract import KeyProvider
from subgraph.kms.faults import KeyFault, KeyProviderError

TENANT = "acme"


@pytest.mark.parametrize(
    ("provider", "key_uri"),
    [
        (KeyProvider.OPENBAO, "openbao:transit/acme"),
        (KeyProvider.OPENBAO, "openbao:teams/eu/transit/acme.records-2"),
        (KeyProvider.PKCS11, "pkcs11:token=cmk;object=acme"),
        (KeyProvider.PKCS11, "pkcs11:object=%61cme.records;token=cmk"),
        (KeyProvider.AWS_KMS, "arn:aws:kms:eu-central-1:111122223333:key/globex"),
        (KeyProvider.LOCAL, "local:globex"),
    ],
)
def test_a_key_of_ones_own_is_allowed(provider: KeyProvider, key_uri: str) -> None:
    check_owner(TENANT, provider, key_uri)


@pytest.mark.parametrize(
    ("provider", "key_uri"),
    [
        (KeyProvider.OPENBAO, "openbao:transit/globex"),
        (KeyProvider.OPENBAO, "openbao:acme/globex"),
        (KeyProvider.OPENBAO, "openbao:transit/acme-corp"),
        (KeyProvider.OPENBAO, "openbao:transit/acme-corp.records"),
        (KeyProvider.OPENBAO, "openbao:transit/acme_records"),
        (KeyProvider.OPENBAO, "openbao:transit/ACME"),
        (KeyProvider.OPENBAO, "openbao:transit/globex.acme"),
        (KeyProvider.PKCS11, "pkcs11:token=acme;object=globex"),
        (KeyProvider.PKCS11, "pkcs11:token=cmk;object=acme%00globex"),
        (KeyProvider.PKCS11, "pkcs11:token=cmk;object=acme%2Dcorp"),
        (KeyProvider.PKCS11, "pkcs11:token=cmk;id=%01"),
    ],
)
def test_any_other_name_is_refused(provider: KeyProvider, key_uri: str) -> None:
    with pytest.raises(SubgraphError) as caught:
        check_owner(TENANT, provider, key_uri)
    assert caught.value.code is ErrorCode.INVALID_INPUT
    assert "globex" not in caught.value.message


@pytest.mark.parametrize(
    ("provider", "key_uri"),
    [
        (KeyProvider.OPENBAO, "transit/acme"),
        (KeyProvider.OPENBAO, "openbao:transit/../acme"),
        (KeyProvider.PKCS11, "pkcs11:token=cmk;object=acme?module-path=/tmp/x.so"),
        (KeyProvider.PKCS11, "pkcs11:token=cmk;object=acme;object=globex"),
        (KeyProvider.PKCS11, "pkcs11:token=cmk;object=%ff"),
    ],
)
def test_what_cannot_be_understood_is_refused(provider: KeyProvider, key_uri: str) -> None:
    with pytest.raises(KeyProviderError) as caught:
        check_owner(TENANT, provider, key_uri)
    assert caught.value.fault is KeyFault.CONFIG
