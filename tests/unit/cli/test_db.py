"""`ig db`: what it refuses before it does anything."""

import pytest

from subgraph.cli.main import main

UNREACHABLE = "postgresql://a@/postgres?host=/nonexistent"


@pytest.mark.parametrize(
    ("dsn", "code"), [(UNREACHABLE, "DATABASE_UNAVAILABLE"), ("nonsense", "SETTINGS_INVALID")]
)
def test_roles_on_a_server_that_cannot_be_reached_are_refused(
    dsn: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["db", "roles", "--admin-url", dsn, "--database", "x"]) == 1
    assert capsys.readouterr().err.startswith(f"ig: {code}: ")


@pytest.mark.parametrize("action", [["upgrade"], ["downgrade", "base"]])
def test_a_migration_without_the_owners_address_is_refused(
    action: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("IG_DATABASE_OWNER_URL", raising=False)
    assert main(["db", *action]) == 1
    assert capsys.readouterr().err == "ig: SETTINGS_INVALID: IG_DATABASE_OWNER_URL is not set\n"


@pytest.mark.parametrize(
    ("dsn", "code"), [(UNREACHABLE, "DATABASE_UNAVAILABLE"), ("nonsense", "SETTINGS_INVALID")]
)
def test_a_migration_of_a_database_that_cannot_be_reached_is_refused(
    dsn: str, code: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("IG_DATABASE_OWNER_URL", dsn)
    assert main(["db", "upgrade"]) == 1
    assert capsys.readouterr().err.startswith(f"ig: {code}: ")


def test_going_back_names_a_revision() -> None:
    with pytest.raises(SystemExit) as caught:
        main(["db", "downgrade"])
    assert caught.value.code == 2
