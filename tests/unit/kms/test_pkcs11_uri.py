"""pkcs11: addresses (RFC 7512)."""

from pathlib import Path

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.kms import pkcs11_uri

MODULE = "module-path=/usr/lib/x.so"


def test_all_that_is_supported_is_read() -> None:
    read = pkcs11_uri.parse(
        "pkcs11:token=My%20token;serial=00ff;manufacturer=A;model=B;slot-id=7;type=private;"
        f"object=r%C3%B6ot;id=%01%FF?{MODULE}&pin-source=file:/run/pin%20file"
    )
    assert read.token == pkcs11_uri.TokenSelector("My token", "00ff", "A", "B", 7)
    assert (read.object_label, read.object_id) == ("röot", b"\x01\xff")
    assert (read.module_path, read.pin_file) == (Path("/usr/lib/x.so"), Path("/run/pin file"))


@pytest.mark.parametrize("source", ["file:/pin", "file:///pin", "/pin", "file:%2Fpin"])
def test_the_spellings_of_a_pin_file(source: str) -> None:
    read = pkcs11_uri.parse(f"pkcs11:object=a?{MODULE}&pin-source={source}")
    assert read.pin_file == Path("/pin")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("file:/key", "begin"),
        (f"pkcs11:?{MODULE}", "no key"),
        (f"pkcs11:token=a?{MODULE}", "no key"),
        ("pkcs11:object=a", "no library"),
        ("pkcs11:object=a?module-path=x.so", "absolute"),
        ("pkcs11:object=a?module-name=softhsm2", "module-path"),
        (f"pkcs11:object=a?{MODULE}&pin-source=|command", "absolute"),
        (f"pkcs11:object=a?{MODULE}&pin-source=file:pin", "absolute"),
        (f"pkcs11:object=a;object=b?{MODULE}", "twice"),
        (f"pkcs11:object=a;slot-description=x?{MODULE}", "not supported"),
        (f"pkcs11:object=a;vendor?{MODULE}", "not supported"),
        (f"pkcs11:object=a;type=cert?{MODULE}", "type="),
        (f"pkcs11:object=a;slot-id=x?{MODULE}", "slot-id"),
        (f"pkcs11:object=%FF?{MODULE}", "UTF-8"),
    ],
)
def test_anything_else_is_refused_with_the_reason(uri: str, said: str) -> None:
    with pytest.raises(SubgraphError) as caught:
        pkcs11_uri.parse(uri)
    assert caught.value.code is ErrorCode.SETTINGS_INVALID and said in caught.value.message


def test_a_pin_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(SubgraphError) as caught:
        pkcs11_uri.parse(f"pkcs11:object=a?{MODULE}&pin-value=98765")
    assert "98765" not in str(caught.value)
