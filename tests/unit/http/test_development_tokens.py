"""The development issuer: usable at once, private, and never in production."""

import json
import stat
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

import pytest

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http import authentication
from subgraph.http.development_tokens import DevelopmentKey, load_or_create, mint
from subgraph.policy.model import Principal
from subgraph.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=str(tmp_path / "data"))


def minted(key: DevelopmentKey, **changed: object) -> str:
    usual = {"subject": "s", "tenant": "acme", "scopes": ["a:read"], "audience": "x"}
    return mint(key, **{**usual, "lifetime": timedelta(hours=1), **changed})


def key_id(data_dir: str) -> str:
    return load_or_create(Settings(data_dir=data_dir)).key_id


def private_file(settings: Settings) -> Path:
    return next(settings.data_path.rglob("private.pem"))


async def test_minted_token_is_accepted_by_the_server(settings: Settings) -> None:
    token = minted(load_or_create(settings), audience=settings.jwt_audience)
    authenticator = authentication.build(settings)
    caller = await authenticator.authenticate([(b"authorization", b"Bearer " + token.encode())])
    assert caller.principal == Principal("s", "acme", frozenset({"a:read"}))


def test_private_key_is_readable_by_its_owner_only(settings: Settings) -> None:
    load_or_create(settings)
    private = private_file(settings)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert stat.S_IMODE(private.parent.stat().st_mode) == 0o700


def test_key_set_holds_no_private_part(settings: Settings) -> None:
    entry = json.loads(load_or_create(settings).key_set_file.read_bytes())["keys"][0]
    assert set(entry) == {"crv", "kty", "x", "y", "kid", "use", "alg"}


def test_key_lasts(settings: Settings) -> None:
    assert load_or_create(settings).key_id == load_or_create(settings).key_id


def test_processes_that_race_get_one_key(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        assert len(set(pool.map(key_id, [str(tmp_path)] * 8))) == 1
    assert {path.name for path in tmp_path.rglob("*.*")} == {"private.pem", "jwks.json"}


def test_production_mode_refuses(settings: Settings) -> None:
    with pytest.raises(SubgraphError) as refused:
        load_or_create(Settings(mode="production", data_dir=settings.data_dir))
    assert refused.value.code is ErrorCode.SETTINGS_INVALID
    assert not settings.data_path.exists()


def test_key_that_others_can_read_is_refused(settings: Settings) -> None:
    load_or_create(settings)
    private_file(settings).chmod(0o640)
    with pytest.raises(SubgraphError) as refused:
        load_or_create(settings)
    assert refused.value.code is ErrorCode.DATA_FOLDER_UNUSABLE


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PRIVATE KEY-----\n", b"\xff"])
def test_damaged_key_is_refused_and_kept(settings: Settings, content: bytes) -> None:
    load_or_create(settings)
    private_file(settings).write_bytes(content)
    with pytest.raises(SubgraphError) as refused:
        load_or_create(settings)
    assert refused.value.code is ErrorCode.DATA_FOLDER_UNUSABLE
    assert private_file(settings).read_bytes() == content


def test_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SubgraphError) as refused:
        load_or_create(Settings(data_dir=str(tmp_path / "file")))
    assert refused.value.code is ErrorCode.DATA_FOLDER_UNUSABLE


@pytest.mark.parametrize(
    "changed",
    [
        {"lifetime": timedelta(0)},
        {"lifetime": timedelta(seconds=-5)},
        {"lifetime": timedelta(days=31)},
        {"subject": ""},
        {"tenant": ""},
        {"tenant": "a b"},
        {"scopes": ['a"']},
    ],
)
def test_token_that_the_server_would_refuse_is_not_minted(
    settings: Settings, changed: dict[str, object]
) -> None:
    with pytest.raises(SubgraphError) as refused:
        minted(load_or_create(settings), **changed)
    assert refused.value.code is ErrorCode.INVALID_INPUT
