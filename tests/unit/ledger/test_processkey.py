"""Two threads sign the texts of one call, each text once."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from subgraph.kms.public_key import P256PublicKey
from subgraph.ledger.processkey import ProcessKey
from subgraph.ledger.publickey import PublicKey

NOW = datetime(2026, 11, 23, tzinfo=UTC)
MESSAGES = [b"message %d" % number for number in range(100)]


@pytest.fixture
def second() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def key_of(private: object, second: ThreadPoolExecutor) -> ProcessKey:
    return ProcessKey("ab" * 32, NOW, NOW, private, second)


def test_each_signature_is_over_its_own_text(second):
    private = ec.generate_private_key(ec.SECP256R1())
    public = PublicKey.from_pem(P256PublicKey.of(private.public_key()).pem)
    places = range(0, 100, 3)
    made = key_of(private, second).signatures(MESSAGES)(places)
    for place, signature in zip(places, made, strict=True):
        public.verify(MESSAGES[place], signature)


@dataclass
class Private:
    """Counts what it signs, and refuses one text."""

    refused: bytes = b""
    signed: Counter[bytes] = field(default_factory=Counter)

    def sign(self, message: bytes, _algorithm: object) -> bytes:
        if message == self.refused:
            raise RuntimeError
        self.signed[message] += 1
        return b"signed " + message


def test_no_text_is_signed_twice(second):
    private = Private()
    signatures = key_of(private, second).signatures(MESSAGES)
    signatures(range(40))
    assert signatures(range(100)) == [b"signed " + message for message in MESSAGES]
    assert private.signed == Counter(MESSAGES)


def test_what_is_not_asked_for_is_not_signed(second):
    private = Private()
    key_of(private, second).signatures(MESSAGES)(range(10))
    assert private.signed == Counter(MESSAGES[:10])


@pytest.mark.parametrize("place", [0, 50, 99])
def test_a_failure_of_either_thread_is_raised(second, place):
    private = Private(refused=MESSAGES[place])
    with pytest.raises(RuntimeError):
        key_of(private, second).signatures(MESSAGES)(range(100))


def test_a_thread_that_is_busy_is_not_waited_for(second):
    release = Event()
    second.submit(release.wait)
    try:
        made = key_of(Private(), second).signatures(MESSAGES)(range(100))
    finally:
        release.set()
    assert len(made) == 100


def test_what_is_under_way_when_the_thread_ends_is_signed_alone(second):
    second.shutdown()
    private = Private()
    key_of(private, second).signatures(MESSAGES)(range(100))
    assert private.signed == Counter(MESSAGES)
