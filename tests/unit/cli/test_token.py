"""`ig token`: a development token with a warning, and never in production."""

from pathlib import Path

import jwt
import pytest

from subgraph.cli.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IG_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


def claims(token: str) -> dict[str, object]:
    return dict(jwt.decode(token, options={"verify_signature": False}))


def test_the_token_is_all_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["token", "--subject", "me", "--tenant", "t-a", "--hours", "2"]
    assert main([*command, "--scope", "datasets:read", "--scope", "budgets:read"]) == 0
    (token,) = capsys.readouterr().out.splitlines()
    said = claims(token)
    assert isinstance(said["exp"], int)
    assert isinstance(said["iat"], int)
    assert (said["sub"], said["tenant"], said["scope"], said["exp"] - said["iat"]) == (
        "me", "t-a", "budgets:read datasets:read", 7200,
    )  # fmt: skip


def test_it_warns(capsys: pytest.CaptureFixture[str]) -> None:
    main(["token", "--subject", "me"])
    assert capsys.readouterr().err.startswith("WARNING: this is a development token")


def test_it_refuses_in_production(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    production = {
        "IG_MODE": "production",
        "DATABASE_URL": "postgresql://a@b/c",
        "IG_CURSOR_KEY": "c" * 32,
        "IG_GATEWAY_SECRET": "g" * 32,
        "IG_JWT_JWKS_URL": "https://example.org/jwks.json",
        "IG_LEDGER_ROOT_KEY": "file:/root.pem",
        "IG_WITNESS_URL": "off",
    }
    for name, value in production.items():
        monkeypatch.setenv(name, value)
    assert main(["token", "--subject", "me"]) == 1
    shown = capsys.readouterr()
    assert (shown.out, "refused in production" in shown.err, folder.exists()) == ("", True, False)


@pytest.mark.parametrize(
    "wrong",
    [
        ["--hours", "0"],
        ["--hours", "-1"],
        ["--hours", "721"],
        ["--tenant", "No Tenant"],
    ],
)
def test_a_token_that_would_not_be_accepted_is_not_made(
    wrong: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = main(["token", "--subject", "me", *wrong])
    shown = capsys.readouterr()
    assert (outcome, shown.out) == (1, "")
    assert shown.err.startswith("ig: INVALID_INPUT: ")
