"""Every rule of the settings."""

from pathlib import Path
from typing import Any

import pytest

from subgraph import settings
from subgraph.errors import ErrorCode, SubgraphError
from subgraph.settings import Settings, describe, load

SECRET = "s3cret" * 6
PRODUCTION = {
    "IG_MODE": "production",
    "DATABASE_URL": f"postgresql://ig:{SECRET}@db/governance",
    "IG_CURSOR_KEY": SECRET,
    "IG_GATEWAY_SECRET": SECRET,
    "IG_JWT_JWKS_URL": "https://issuer.example/jwks",
    "IG_LEDGER_ROOT_KEY": "pkcs11:token=ledger",
    "IG_WITNESS_URL": "off",
}


def refusal(environ: dict[str, str]) -> str:
    with pytest.raises(SubgraphError) as caught:
        load(environ)
    assert caught.value.code is ErrorCode.SETTINGS_INVALID
    return caught.value.message


def test_empty_environment_gives_the_defaults() -> None:
    assert load({}) == Settings()


def test_other_variables_are_no_settings() -> None:
    assert load({"PATH": "/bin", "OTEL_SERVICE_NAME": "x", "MODE": "production"}) == Settings()


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        load({}).port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("IG_PORT", "9000", "port", 9000),
        ("IG_MODE", "development", "mode", "development"),
        ("IG_GATEWAY_ONLY", "true", "gateway_only", True),
        ("IG_GATEWAY_ONLY", "0", "gateway_only", False),
        ("IG_TRACE_SAMPLE_RATIO", "0.5", "trace_sample_ratio", 0.5),
        ("IG_CURSOR_KEY", SECRET, "cursor_key", SECRET),
        ("DATABASE_URL", "postgresql://db", "database_url", "postgresql://db"),
        ("OPA_URL", "https://opa", "opa_url", "https://opa"),
        ("DATABASE_URL", "", "database_url", None),
        ("OPA_URL", "", "opa_url", None),
    ],
)
def test_variable_sets_its_setting(name: str, value: str, field: str, expected: object) -> None:
    assert getattr(load({name: value}), field) == expected


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"IG_PROT": "1"}, "IG_PROT"),
        ({"IG_": "1"}, "IG_"),
        ({"IG_A": "1", "IG_B": "1"}, "IG_A, IG_B"),
        ({"IG_DATABASE_URL": "postgresql://db"}, "IG_DATABASE_URL"),
        ({"IG_OPA_URL": "https://opa"}, "IG_OPA_URL"),
    ],
)
def test_unknown_variable_is_refused_by_name(environ: dict[str, str], named: str) -> None:
    assert refusal(environ) == f"unknown settings: {named}"


COUNTS = [
    "MAX_BODY_BYTES", "MAX_BATCH", "MAX_TOKENS", "MAX_DEPTH", "MAX_ALIASES", "MAX_DIRECTIVES",
    "MAX_NODES", "MAX_COST", "MAX_REPRESENTATIONS", "OPERATION_CACHE_SIZE", "DEADLINE_MS",
    "MAX_IN_FLIGHT", "POOL_SIZE", "CONNECT_TIMEOUT_MS", "STATEMENT_TIMEOUT_MS", "OPA_DEADLINE_MS",
    "JWKS_REFRESH_SECONDS",
]  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "", "1_000", "NaN", "1e400"])
def test_count_is_a_positive_number(name: str, value: str) -> None:
    assert refusal({f"IG_{name}": value}).startswith(f"IG_{name}: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("IG_MODE", "prod"),
        ("IG_MODE", ""),
        ("IG_LOG_LEVEL", "debug"),
        ("IG_PORT", "0"),
        ("IG_PORT", "65536"),
        ("IG_POOL_SIZE", "201"),
        ("IG_JWT_LEEWAY_SECONDS", "301"),
        ("IG_JWT_LEEWAY_SECONDS", "-1"),
        ("IG_TOKEN_CACHE_SECONDS", "301"),
        ("IG_POLICY_CACHE_SECONDS", "301"),
        ("IG_TRACE_SAMPLE_RATIO", "1.1"),
        ("IG_TRACE_SAMPLE_RATIO", "-0.1"),
        ("IG_TRACE_SAMPLE_RATIO", "nan"),
        ("IG_TRACE_SAMPLE_RATIO", "inf"),
        ("IG_GATEWAY_ONLY", "yes"),
        ("IG_JWT_AUDIENCE", ""),
        ("IG_CURSOR_KEY", "short"),
        ("IG_CURSOR_KEY", ""),
        ("IG_GATEWAY_SECRET", "x" * 31),
    ],
)
def test_value_that_does_not_fit_is_refused_by_name(name: str, value: str) -> None:
    assert refusal({name: value}).startswith(f"{name}: ")


@pytest.mark.parametrize(
    "algorithms", ["", ",", "none", "HS256", "ES256,HS512", "hs256", "None", "NONE,ES256", " none "]
)
def test_only_asymmetric_algorithms_are_allowed(algorithms: str) -> None:
    assert refusal({"IG_JWT_ALGORITHMS": algorithms}).startswith("IG_JWT_ALGORITHMS: ")


def test_algorithms_are_told_apart() -> None:
    assert load({"IG_JWT_ALGORITHMS": " ES256 ,, EdDSA"}).algorithms == ("ES256", "EdDSA")


@pytest.mark.parametrize("name", ["IG_CURSOR_KEY", "IG_GATEWAY_SECRET"])
def test_refused_secret_is_not_told(name: str) -> None:
    assert "hunter2" not in refusal({name: "hunter2"})


@pytest.mark.parametrize(
    "wrong", [{"IG_PORT": "x"}, {"IG_PROT": "x"}, {"IG_JWT_ALGORITHMS": "none"}]
)
def test_secrets_are_not_told_when_another_setting_is_wrong(wrong: dict[str, str]) -> None:
    assert SECRET not in refusal({**PRODUCTION, **wrong})


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        ("DATABASE_URL", "DATABASE_URL"),
        ("IG_CURSOR_KEY", "IG_CURSOR_KEY"),
        ("IG_GATEWAY_SECRET", "IG_GATEWAY_SECRET"),
        ("IG_JWT_JWKS_URL", "IG_JWT_JWKS_URL (or IG_JWT_PUBLIC_KEY_FILE)"),
        ("IG_LEDGER_ROOT_KEY", "IG_LEDGER_ROOT_KEY"),
        ("IG_WITNESS_URL", "IG_WITNESS_URL (an address or off)"),
    ],
)
def test_production_does_not_start_without_its_secrets(missing: str, named: str) -> None:
    environ = {name: value for name, value in PRODUCTION.items() if name != missing}
    assert refusal(environ) == f"production mode needs {named}"


def test_production_names_all_that_is_missing() -> None:
    assert refusal({"IG_MODE": "production"}).count(",") == 5


def test_a_witness_is_named_with_what_it_is_verified_with() -> None:
    assert "IG_WITNESS_VERIFIERS_FILE" in refusal({"IG_WITNESS_URL": "https://witness.example"})
    assert load({"IG_WITNESS_URL": "off"}).witness is None


@pytest.mark.parametrize("key", ["IG_JWT_JWKS_URL", "IG_JWT_PUBLIC_KEY_FILE"])
def test_production_starts_with_either_source_of_keys(key: str) -> None:
    environ = {name: value for name, value in PRODUCTION.items() if name != "IG_JWT_JWKS_URL"}
    assert load({**environ, key: "/etc/keys.pem"}).production


def test_development_needs_nothing() -> None:
    assert not load({}).production


def test_data_folder_is_absolute() -> None:
    assert load({"IG_DATA_DIR": "x"}).data_path == Path.cwd() / "x"


def test_every_setting_is_described() -> None:
    assert [name for name, _, description in describe() if not description] == []


def test_every_setting_is_in_the_table_once() -> None:
    names = [name for name, _, _ in describe()]
    assert len(set(names)) == len(names) == len(Settings.__struct_fields__)


@pytest.mark.parametrize("row", describe(), ids=lambda row: row[0])
def test_default_in_the_table_is_the_one_in_force(row: tuple[str, str, str]) -> None:
    name, default, _ = row
    read: Any = load({name: default} if default else {})
    assert read == Settings()


def test_no_default_is_a_secret() -> None:
    secret = [row for row in describe() if "SECRET" in row[0] or row[0].endswith("_KEY")]
    assert {default for _, default, _ in secret} == {""}


def test_table_in_the_documents_is_the_one_of_the_code() -> None:
    text = (Path(settings.__file__).parent.parent / "docs" / "settings.md").read_text()
    assert [name for name, _, _ in describe() if f"`{name}`" not in text] == []
