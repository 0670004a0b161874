"""From headers to a caller, and every way a token can fail to hold."""

import base64
import hashlib
import hmac
import json
import logging
import time
from datetime import timedelta
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http import development_tokens
from subgraph.http.authentication import (
    MAX_AUTHORIZATION_BYTES,
    Authenticator,
    Caller,
    Unauthenticated,
    build,
)
from subgraph.http.development_tokens import DevelopmentKey
from subgraph.http.verification_keys import VerificationKey
from subgraph.policy.model import Principal
from subgraph.settings import Settings

SECRET = "g" * 32
AUDIENCE = "governance-subgraph"
ANONYMOUS = Caller(principal=None, client_name=None, client_version=None, via_gateway=False)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Development mode: the key of the data folder is trusted."""
    return Settings(data_dir=str(tmp_path_factory.mktemp("data")), gateway_secret=SECRET)


@pytest.fixture(scope="module")
def key(settings: Settings) -> DevelopmentKey:
    """The trusted key."""
    return development_tokens.load_or_create(settings)


@pytest.fixture
def authenticator(settings: Settings, key: DevelopmentKey) -> Authenticator:
    """A fresh authenticator that trusts `key`."""
    return build(settings)


def claims(**changed: object) -> dict[str, object]:
    now = int(time.time())
    usual = {"sub": "s-1", "tenant": "acme", "aud": AUDIENCE, "iat": now, "exp": now + 600}
    return {name: value for name, value in (usual | changed).items() if value != "absent"}


def sign(key: DevelopmentKey, payload: dict[str, object], **header: object) -> str:
    headers = {"kid": key.key_id, **header}
    return jwt.encode(payload, key.private_key, algorithm="ES256", headers=headers)


def bearer(token: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", b"Bearer " + token.encode())]


def segment(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


async def reason(authenticator: Authenticator, headers: list[tuple[bytes, bytes]]) -> str:
    with pytest.raises(Unauthenticated) as refused:
        await authenticator.authenticate(headers)
    assert refused.value.code is ErrorCode.UNAUTHENTICATED
    assert refused.value.message == ErrorCode.UNAUTHENTICATED.meaning
    assert refused.value.details == {}
    return refused.value.reason


async def test_no_token_is_an_anonymous_caller(authenticator: Authenticator) -> None:
    assert await authenticator.authenticate([(b"host", b"x")]) == ANONYMOUS


async def test_token_names_the_principal(authenticator: Authenticator, key: DevelopmentKey) -> None:
    token = development_tokens.mint(
        key,
        subject="s-1",
        tenant="acme",
        scopes=["datasets:read", "dp:query"],
        lifetime=timedelta(minutes=1),
        audience=AUDIENCE,
        client_name="portal",
    )
    caller = await authenticator.authenticate(bearer(token))
    assert caller.principal == Principal(
        "s-1", "acme", frozenset({"datasets:read", "dp:query"}), "portal"
    )


@pytest.mark.parametrize("scheme", [b"bearer ", b"BEARER ", b"Bearer   "])
async def test_scheme_is_read_without_case(
    authenticator: Authenticator, key: DevelopmentKey, scheme: bytes
) -> None:
    token = sign(key, claims()).encode()
    caller = await authenticator.authenticate([(b"authorization", scheme + token)])
    assert caller.principal is not None


@pytest.mark.parametrize(
    "value",
    [b"", b"Bearer", b"Bearer ", b"Basic dTpw", b"Bearer a.b", b"Bearer a.b.c.d.e", b"Bearer a b"]
    + [b"a.b.c", b"Bearer\ta.b.c", b"Bearer a.b.c, Bearer a.b.c", b"Bearer \xff.b.c"],
)
async def test_header_that_is_no_bearer_token_is_refused(
    authenticator: Authenticator, value: bytes
) -> None:
    assert await reason(authenticator, [(b"authorization", value)]) == "not a bearer token"


async def test_second_authorization_header_is_refused(
    authenticator: Authenticator, key: DevelopmentKey
) -> None:
    headers = bearer(sign(key, claims())) * 2
    assert await reason(authenticator, headers) == "authorization is sent twice"


async def test_overlong_token_is_refused_unread(
    authenticator: Authenticator, key: DevelopmentKey
) -> None:
    token = sign(key, claims(padding="x" * MAX_AUTHORIZATION_BYTES))
    assert await reason(authenticator, bearer(token)) == "the header is too long"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"exp": "absent"}, "MissingRequiredClaimError"),
        ({"exp": 1}, "ExpiredSignatureError"),
        ({"exp": "soon"}, "DecodeError"),
        ({"exp": float("inf")}, "DecodeError"),
        ({"nbf": time.time() + 3_600}, "ImmatureSignatureError"),
        ({"iat": time.time() + 3_600}, "ImmatureSignatureError"),
        ({"iat": []}, "InvalidIssuedAtError"),
        ({"aud": "absent"}, "MissingRequiredClaimError"),
        ({"aud": "another-service"}, "InvalidAudienceError"),
        ({"aud": []}, "MissingRequiredClaimError"),
        ({"aud": {AUDIENCE: 1}}, "InvalidAudienceError"),
        ({"sub": "absent"}, "MissingRequiredClaimError"),
        ({"sub": 7}, "InvalidSubjectError"),
        ({"sub": ""}, "unusable claim sub"),
        ({"tenant": None}, "unusable claim tenant"),
        ({"scope": 7}, "unusable claim scope"),
    ],
)
async def test_claim_that_does_not_hold_is_refused(
    settings: Settings,
    authenticator: Authenticator,
    key: DevelopmentKey,
    changed: dict[str, object],
    expected: str,
) -> None:
    # jwt.encode checks some claims itself, so the payload is signed as bytes.
    payload = json.dumps(claims(**changed)).encode()
    token = jwt.PyJWS().encode(payload, key.private_key, "ES256", {"kid": key.key_id})
    assert await reason(authenticator, bearer(token)) == expected


async def test_clock_skew_is_tolerated(
    authenticator: Authenticator, key: DevelopmentKey, settings: Settings
) -> None:
    now = int(time.time())
    skewed = settings.jwt_leeway_seconds // 2
    token = sign(key, claims(exp=now - skewed, iat=now + skewed, nbf=now + skewed))
    assert (await authenticator.authenticate(bearer(token))).principal is not None


@pytest.mark.parametrize("issuer", ["absent", "https://other.example", ["https://id.example"]])
async def test_token_of_another_issuer_is_refused(
    settings: Settings, key: DevelopmentKey, issuer: object
) -> None:
    authenticator = build(
        Settings(jwt_public_key_file=str(key.key_set_file), jwt_issuer="https://id.example")
    )
    payload = json.dumps(claims(iss=issuer)).encode()
    token = jwt.PyJWS().encode(payload, key.private_key, "ES256", {"kid": key.key_id})
    assert await reason(authenticator, bearer(token)) in {
        "MissingRequiredClaimError",
        "InvalidIssuerError",
    }


async def test_signature_of_another_key_is_refused(
    authenticator: Authenticator, key: DevelopmentKey
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    token = jwt.encode(claims(), stranger, algorithm="ES256", headers={"kid": key.key_id})
    assert await reason(authenticator, bearer(token)) == "InvalidSignatureError"


async def test_changed_payload_is_refused(
    authenticator: Authenticator, key: DevelopmentKey
) -> None:
    header, _, signature = sign(key, claims()).split(".")
    forged = f"{header}.{segment(claims(tenant='other'))}.{signature}"
    assert await reason(authenticator, bearer(forged)) == "InvalidSignatureError"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, 1, ["ES256"], {}])
async def test_unsigned_token_is_refused(
    authenticator: Authenticator, key: DevelopmentKey, algorithm: object
) -> None:
    header = segment({"alg": algorithm, "kid": key.key_id})
    token = f"{header}.{segment(claims())}.{segment(b'x')}"
    assert await reason(authenticator, bearer(token)) == "InvalidAlgorithmError"


async def test_public_key_taken_for_an_hmac_secret_is_refused(
    authenticator: Authenticator, key: DevelopmentKey
) -> None:
    signed = f"{segment({'alg': 'HS256', 'kid': key.key_id})}.{segment(claims())}"
    mac = hmac.digest(key.key_set_file.read_bytes(), signed.encode(), hashlib.sha256)
    assert (
        await reason(authenticator, bearer(f"{signed}.{segment(mac)}")) == "InvalidAlgorithmError"
    )


async def test_algorithm_must_fit_the_type_of_the_named_key(
    authenticator: Authenticator, key: DevelopmentKey
) -> None:
    private = rsa.generate_private_key(65_537, 2_048)
    token = jwt.encode(claims(), private, algorithm="RS256", headers={"kid": key.key_id})
    assert await reason(authenticator, bearer(token)) == "InvalidKeyError"


async def test_algorithm_off_the_list_is_refused(key: DevelopmentKey) -> None:
    only_rsa = Settings(jwt_public_key_file=str(key.key_set_file), jwt_algorithms="RS256")
    token = sign(key, claims())
    assert await reason(build(only_rsa), bearer(token)) == "InvalidAlgorithmError"


async def test_key_that_the_token_brings_along_is_not_used(
    authenticator: Authenticator, key: DevelopmentKey
) -> None:
    stranger = ec.generate_private_key(ec.SECP256R1())
    jwk = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(stranger.public_key()))
    header = {"kid": key.key_id, "jwk": jwk, "jku": "http://127.0.0.1:1/", "x5u": "http://[::1]/"}
    token = jwt.encode(claims(), stranger, algorithm="ES256", headers=header)
    assert await reason(authenticator, bearer(token)) == "InvalidSignatureError"


@pytest.mark.parametrize(
    "header",
    [{"crit": ["x"], "x": 1}, {"crit": []}, {"crit": ["b64"], "b64": False}, {"kid": 7}],
)
async def test_header_that_cannot_be_honoured_is_refused(
    authenticator: Authenticator, key: DevelopmentKey, header: dict[str, object]
) -> None:
    text = f"{segment({'alg': 'ES256', 'kid': key.key_id, **header})}.{segment(claims())}"
    await reason(authenticator, bearer(f"{text}.{segment(b'x' * 64)}"))


@pytest.mark.parametrize("header", [b"[" * 5_000, b"{}", b"[]", b"null", b"\xff", b"1" * 5_000])
async def test_header_that_is_no_header_is_refused(
    authenticator: Authenticator, header: bytes
) -> None:
    await reason(authenticator, bearer(f"{segment(header)}.{segment({})}.{segment(b'x')}"))


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=80))
async def test_no_bytes_are_more_than_a_refusal(header: bytes, payload: bytes, mac: bytes) -> None:
    authenticator = Authenticator(Settings(), NoKeys())
    token = ".".join(segment(part) for part in (header, payload, mac))
    await reason(authenticator, bearer(token))


async def test_remembered_token_is_not_verified_again(
    settings: Settings, key: DevelopmentKey
) -> None:
    keys = CountedKeys(key)
    authenticator = Authenticator(settings, keys)
    headers = bearer(sign(key, claims()))
    first = await authenticator.authenticate(headers)
    assert await authenticator.authenticate(headers) == first
    assert keys.asked == 1


async def test_expired_token_is_not_remembered(settings: Settings, key: DevelopmentKey) -> None:
    keys = CountedKeys(key)
    authenticator = Authenticator(settings, keys)
    headers = bearer(sign(key, claims(exp=int(time.time()) - 5)))
    for _ in range(2):
        await authenticator.authenticate(headers)
    assert keys.asked == 2


async def test_refusal_is_not_remembered(settings: Settings, key: DevelopmentKey) -> None:
    keys = CountedKeys(None)
    authenticator = Authenticator(settings, keys)
    headers = bearer(sign(key, claims()))
    await reason(authenticator, headers)
    keys.key = key
    assert (await authenticator.authenticate(headers)).principal is not None


async def test_failing_key_source_is_no_anonymous_caller(
    settings: Settings, key: DevelopmentKey
) -> None:
    with pytest.raises(SubgraphError) as refused:
        await Authenticator(settings, NoKeySet()).authenticate(bearer(sign(key, claims())))
    assert refused.value.code is ErrorCode.KEY_SET_UNAVAILABLE


async def test_no_byte_of_a_token_is_logged(
    authenticator: Authenticator, key: DevelopmentKey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = sign(key, claims(exp=1))
    await reason(authenticator, bearer(token))
    assert "ExpiredSignatureError" in caplog.text
    assert not any(part in caplog.text for part in token.split("."))


async def test_gateway_proof_is_noticed(authenticator: Authenticator) -> None:
    caller = await authenticator.authenticate([(b"x-ig-gateway-secret", SECRET.encode())])
    assert caller == Caller(None, None, None, via_gateway=True)


@pytest.mark.parametrize("secret", [b"", b"wrong", b"g" * 31, b"g" * 33, b"\xff" * 32])
async def test_wrong_gateway_secret_is_refused(authenticator: Authenticator, secret: bytes) -> None:
    with pytest.raises(SubgraphError) as refused:
        await authenticator.authenticate([(b"x-ig-gateway-secret", secret)])
    assert refused.value.code is ErrorCode.GATEWAY_REQUIRED


async def test_gateway_secret_sent_twice_is_refused(authenticator: Authenticator) -> None:
    headers = [(b"x-ig-gateway-secret", SECRET.encode())] * 2
    assert await reason(authenticator, headers) == "x-ig-gateway-secret is sent twice"


async def test_valid_token_does_not_pass_by_the_gateway(key: DevelopmentKey) -> None:
    authenticator = build(
        Settings(
            jwt_public_key_file=str(key.key_set_file), gateway_secret=SECRET, gateway_only=True
        )
    )
    with pytest.raises(SubgraphError) as refused:
        await authenticator.authenticate(bearer(sign(key, claims())))
    assert refused.value.code is ErrorCode.GATEWAY_REQUIRED


async def test_client_identity_is_cut_to_plain_characters(authenticator: Authenticator) -> None:
    caller = await authenticator.authenticate(
        [
            (b"apollographql-client-name", b' portal"\n{x="' + b"y" * 100),
            (b"apollographql-client-version", b"1.2.3-\xe9"),
        ]
    )
    assert caller.client_name == "portal___x__" + "y" * 52
    assert caller.client_version == "1.2.3-_"


async def test_idempotency_key_is_the_callers_own(authenticator: Authenticator) -> None:
    caller = await authenticator.authenticate([(b"idempotency-key", b'"import-1"')])
    assert caller.idempotency_key == '"import-1"'


@pytest.mark.parametrize("key", [b"", b"\xe9", b"a\tb", b"x" * 201])
async def test_idempotency_key_that_cannot_be_kept_is_refused(
    authenticator: Authenticator, key: bytes
) -> None:
    with pytest.raises(SubgraphError) as refused:
        await authenticator.authenticate([(b"idempotency-key", key)])
    assert refused.value.code is ErrorCode.BAD_REQUEST


async def test_client_name_of_the_token_wins(
    authenticator: Authenticator, key: DevelopmentKey
) -> None:
    headers = bearer(sign(key, claims(azp="portal")))
    caller = await authenticator.authenticate(
        [*headers, (b"apollographql-client-name", b"someone-else")]
    )
    assert caller.client_name == "portal"


@pytest.mark.parametrize(
    "changed",
    [
        {"jwt_algorithms": "ES256,ES257"},
        {"jwt_algorithms": "hs256"},
        {"gateway_only": True},
        {"jwt_jwks_url": "http://id.example/jwks"},
        {"jwt_jwks_url": "ftp://127.0.0.1/jwks"},
        {"jwt_jwks_url": "not an address"},
        {"jwt_jwks_url": "https://id.example/jwks", "jwt_public_key_file": "/etc/hostname"},
        {"jwt_public_key_file": "/nowhere"},
    ],
)
async def test_settings_that_cannot_work_are_refused_at_the_start(
    changed: dict[str, object], tmp_path: Path
) -> None:
    with pytest.raises(SubgraphError) as refused:
        build(Settings(**{"data_dir": str(tmp_path), **changed}))
    assert refused.value.code is ErrorCode.SETTINGS_INVALID


class CountedKeys:
    """Knows one key, or none, and counts how often it is asked."""

    def __init__(self, key: DevelopmentKey | None) -> None:
        self.key = key
        self.asked = 0

    async def find(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        self.asked += 1
        if self.key is None:
            return None
        public = self.key.private_key.public_key()
        return VerificationKey(self.key.key_id, public, frozenset({"ES256"}))

    async def aclose(self) -> None:
        pass


class NoKeys(CountedKeys):
    """Knows no key at all."""

    def __init__(self) -> None:
        super().__init__(None)


class NoKeySet(NoKeys):
    """An issuer that cannot be reached."""

    async def find(self, key_id: str | None, algorithm: str) -> VerificationKey | None:
        raise SubgraphError(ErrorCode.KEY_SET_UNAVAILABLE)
