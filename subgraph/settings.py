"""Typed settings, read once from the environment.

Every variable starts with `IG_`; `DATABASE_URL` and `OPA_URL` keep their usual names, and
`OTEL_*` is read by OpenTelemetry itself. An unknown `IG_` variable, a value of the wrong type or
one out of range is refused at the start: a misspelt limit must not leave the default in force.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from subgraph.errors import ErrorCode, SubgraphError

_BARE_NAMES = {"DATABASE_URL": "database_url", "OPA_URL": "opa_url"}
_PREFIX = "IG_"

Count = Annotated[int, Meta(ge=1)]
Secret = Annotated[str, Meta(min_length=32)]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One value of each setting; see `describe` for the table that `ig serve --help` prints."""

    mode: Annotated[
        Literal["development", "production"],
        Meta(
            description="production turns introspection, GraphiQL and `ig token` off and demands the secrets"
        ),
    ] = "development"
    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="port to listen on")] = 8080
    data_dir: Annotated[
        str, Meta(description="folder of the embedded database and of development keys")
    ] = ".data"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"],
        Meta(description="least severe level that is logged"),
    ] = "INFO"

    database_url: Annotated[
        str | None, Meta(description="DSN of the service role; none starts the embedded PostgreSQL")
    ] = None
    database_system_url: Annotated[
        str | None, Meta(description="DSN of the system role (background workers)")
    ] = None
    database_owner_url: Annotated[
        str | None, Meta(description="DSN of the owner role; read by `ig db` only")
    ] = None
    pool_size: Annotated[int, Meta(ge=1, le=200, description="database connections a process")] = 10
    connect_timeout_ms: Annotated[
        int, Meta(ge=1, description="longest wait for a database connection, in milliseconds")
    ] = 2_000
    statement_timeout_ms: Annotated[
        int, Meta(ge=1, description="longest run of one statement, in milliseconds")
    ] = 5_000

    jwt_jwks_url: Annotated[
        str | None,
        Meta(description="address of the JSON Web Key Set that tokens are verified with"),
    ] = None
    jwt_public_key_file: Annotated[
        str | None, Meta(description="PEM public key or JWKS file, instead of jwt_jwks_url")
    ] = None
    jwt_audience: Annotated[str, Meta(min_length=1, description="`aud` that a token must name")] = (
        "governance-subgraph"
    )
    jwt_issuer: Annotated[str | None, Meta(description="`iss` that a token must name, if set")] = (
        None
    )
    jwt_algorithms: Annotated[
        str, Meta(description="allowed signature algorithms, comma-separated; never `none` or HMAC")
    ] = "ES256,EdDSA,RS256,PS256"
    jwt_leeway_seconds: Annotated[
        int, Meta(ge=0, le=300, description="tolerated clock skew, in seconds")
    ] = 30
    jwks_refresh_seconds: Annotated[
        int, Meta(ge=1, description="age at which a key set is fetched again, in seconds")
    ] = 300
    token_cache_seconds: Annotated[
        int,
        Meta(ge=0, le=300, description="longest time a verified token is remembered, in seconds"),
    ] = 60
    gateway_secret: Annotated[
        Secret | None, Meta(description="secret that the gateway proves itself with")
    ] = None
    gateway_only: Annotated[
        bool, Meta(description="refuse every caller that does not come through the gateway")
    ] = False
    cursor_key: Annotated[
        Secret | None,
        Meta(description="secret that cursors are signed with, the same on all replicas"),
    ] = None

    opa_url: Annotated[
        str | None,
        Meta(description="address of a decision in a remote OPA; none evaluates Rego in process"),
    ] = None
    opa_deadline_ms: Annotated[
        int, Meta(ge=1, description="longest wait for the remote OPA, in milliseconds")
    ] = 250
    policy_cache_seconds: Annotated[
        int,
        Meta(ge=0, le=300, description="longest time a policy decision is remembered, in seconds"),
    ] = 30

    max_body_bytes: Annotated[Count, Meta(description="largest request body, in bytes")] = 1_048_576
    max_batch: Annotated[Count, Meta(description="operations in one array batch")] = 20
    max_tokens: Annotated[Count, Meta(description="lexical tokens in one document")] = 2_000
    max_depth: Annotated[Count, Meta(description="levels of fields in one operation")] = 15
    max_aliases: Annotated[Count, Meta(description="aliases in one operation")] = 50
    max_directives: Annotated[Count, Meta(description="directives in one operation")] = 50
    max_nodes: Annotated[Count, Meta(description="objects that one answer could hold")] = 20_000
    max_cost: Annotated[
        Count, Meta(description="static cost of one operation, by @cost and @listSize")
    ] = 50_000
    max_representations: Annotated[
        Count, Meta(description="representations in one `_entities` call")
    ] = 1_000
    operation_cache_size: Annotated[
        Count, Meta(description="parsed and validated documents kept by a process")
    ] = 2_000
    deadline_ms: Annotated[
        Count, Meta(description="longest run of one operation, in milliseconds")
    ] = 10_000
    max_in_flight: Annotated[
        Count, Meta(description="operations a process runs at once before it sheds load")
    ] = 512

    ledger_origin: Annotated[
        str, Meta(description="first part of the ledgers' names; never changes once they exist")
    ] = "governance-subgraph.local"
    ledger_root_key: Annotated[
        str | None,
        Meta(
            description="key that signs checkpoints and delegations: `file:/path.pem`, `pkcs11:...`, `aws:arn:...`, `openbao:MOUNT/KEY`, `gcp:projects/.../cryptoKeyVersions/N` or `azure:https://VAULT/keys/NAME/VERSION`; none makes one in the data folder (development)"
        ),
    ] = None
    witness_url: Annotated[
        str | None,
        Meta(description="address of the witness, or `off`; production must say which"),
    ] = None
    witness_verifiers_file: Annotated[
        str | None, Meta(description="verifier keys of the witness, as `ig witness` writes them")
    ] = None
    checkpoint_seconds: Annotated[
        float, Meta(gt=0, description="time between two checkpoints of a growing ledger")
    ] = 10.0
    checkpoint_events: Annotated[
        Count, Meta(description="events after which a ledger is signed at once")
    ] = 1_000
    process_key_hours: Annotated[
        int, Meta(ge=1, le=168, description="lifetime of a process's signing key")
    ] = 24

    kms_deadline_ms: Annotated[
        Count, Meta(description="longest wait for a key's provider, in milliseconds")
    ] = 2_000
    kms_concurrency: Annotated[
        Count, Meta(description="calls under way at one key provider at once")
    ] = 8
    key_soft_seconds: Annotated[
        float, Meta(gt=0, description="age at which an unwrapped data key in use is refreshed")
    ] = 60.0
    key_hard_seconds: Annotated[
        float, Meta(gt=0, description="age at which an unwrapped data key is no longer served")
    ] = 300.0
    key_probe_seconds: Annotated[
        float, Meta(gt=0, description="time between two probes of a tenant's key")
    ] = 30.0
    key_verdict_seconds: Annotated[
        float, Meta(gt=0, description="time between two readings of what the probes found")
    ] = 1.0
    aws_kms_endpoint: Annotated[
        str | None, Meta(description="address of AWS KMS, instead of the region's own")
    ] = None
    gcp_kms_endpoint: Annotated[
        str | None, Meta(description="address of Google Cloud KMS, instead of its own")
    ] = None
    azure_vault_hosts: Annotated[
        str,
        Meta(description="domains under which key vaults may be, comma-separated"),
    ] = "vault.azure.net,managedhsm.azure.net"
    pkcs11_module: Annotated[
        str | None, Meta(description="PKCS#11 library of the HSM that tenants' keys may be in")
    ] = None
    pkcs11_pin_dir: Annotated[
        str | None, Meta(description="folder with one file a token, named by its label: the PIN")
    ] = None
    openbao_url: Annotated[
        str | None, Meta(description="address of the OpenBao or Vault server")
    ] = None
    openbao_token_file: Annotated[
        str | None, Meta(description="file with the token for OpenBao; read anew when it changes")
    ] = None

    dp_grid_ms: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000,
            description="grid on which new differentially private answers come, in milliseconds, so that their times tell nothing; 0 for benchmarks only",
        ),
    ] = 25
    dp_sweep_seconds: Annotated[
        float, Meta(gt=0, description="time between two looks for releases that were abandoned")
    ] = 15.0

    worker_concurrency: Annotated[
        int, Meta(ge=2, le=64, description="slices of jobs that a worker runs at once")
    ] = 4
    worker_takeover_seconds: Annotated[
        float, Meta(ge=1, description="silence after which a worker's slices are given to others")
    ] = 15.0
    worker_blocked_seconds: Annotated[
        float, Meta(gt=0, description="time between two tries of a job that is blocked")
    ] = 30.0
    worker_maintenance_seconds: Annotated[
        float, Meta(gt=0, description="time between two rounds of what is due by the clock")
    ] = 60.0

    deprecations_file: Annotated[
        str | None, Meta(description="lifecycle records; none takes the file of this release")
    ] = None
    trace_sample_ratio: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="share of traces that start here and are kept; a caller's decision wins",
        ),
    ] = 0.01

    @property
    def production(self) -> bool:
        """Whether the mode is production."""
        return self.mode == "production"

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The allowed signature algorithms."""
        return tuple(name.strip() for name in self.jwt_algorithms.split(",") if name.strip())

    @property
    def witness(self) -> str | None:
        """The address of the witness; None when there is none."""
        return None if self.witness_url == "off" else self.witness_url

    @property
    def data_path(self) -> Path:
        """The data folder as an absolute path."""
        return Path(self.data_dir).absolute()


def load(environ: Mapping[str, str]) -> Settings:
    """Read the settings from `environ`.

    Raises `SubgraphError` with `SETTINGS_INVALID` that names every unknown variable, or the first
    value that does not fit. A secret's value is never part of the message.
    """
    values = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(_PREFIX)
    }
    values.update(
        {field: environ[name] for name, field in _BARE_NAMES.items() if environ.get(name)}
    )
    unknown = sorted(
        set(values) - set(Settings.__struct_fields__) | set(_bare_with_prefix(environ))
    )
    if unknown:
        names = ", ".join(_PREFIX + name.upper() for name in unknown)
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, f"unknown settings: {names}")
    try:
        settings = msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SubgraphError(ErrorCode.SETTINGS_INVALID, _explain(error)) from None
    _check(settings)
    return settings


def describe() -> list[tuple[str, str, str]]:
    """Every setting as (variable, default, description), in the order of the code."""
    bare = {field: name for name, field in _BARE_NAMES.items()}
    rows = []
    for field in msgspec.structs.fields(Settings):
        info = msgspec.inspect.type_info(field.type)
        description = ""
        while isinstance(info, msgspec.inspect.Metadata):
            description = (info.extra_json_schema or {}).get("description", description)
            info = info.type
        name = bare.get(field.name, _PREFIX + field.name.upper())
        default = "" if field.default is None else str(field.default)
        rows.append((name, default, description))
    return rows


def _bare_with_prefix(environ: Mapping[str, str]) -> list[str]:
    return [field for field in _BARE_NAMES.values() if _PREFIX + field.upper() in environ]


def _explain(error: msgspec.ValidationError) -> str:
    reason, _, path = str(error).partition(" - at `$.")
    return f"{_PREFIX}{path.rstrip('`').upper()}: {reason}" if path else reason


def _check(settings: Settings) -> None:
    forbidden = [
        name
        for name in settings.algorithms
        if name.lower() == "none" or name.upper().startswith("HS")
    ]
    if forbidden or not settings.algorithms:
        raise SubgraphError(
            ErrorCode.SETTINGS_INVALID,
            "IG_JWT_ALGORITHMS: only asymmetric algorithms may be allowed",
        )
    if settings.witness and not settings.witness_verifiers_file:
        raise SubgraphError(
            ErrorCode.SETTINGS_INVALID, "IG_WITNESS_URL needs IG_WITNESS_VERIFIERS_FILE"
        )
    if settings.key_soft_seconds >= settings.key_hard_seconds:
        raise SubgraphError(
            ErrorCode.SETTINGS_INVALID, "IG_KEY_SOFT_SECONDS is below IG_KEY_HARD_SECONDS"
        )
    if not settings.production:
        return
    needed = {
        "DATABASE_URL": settings.database_url,
        "IG_CURSOR_KEY": settings.cursor_key,
        "IG_GATEWAY_SECRET": settings.gateway_secret,
        "IG_JWT_JWKS_URL (or IG_JWT_PUBLIC_KEY_FILE)": settings.jwt_jwks_url
        or settings.jwt_public_key_file,
        "IG_LEDGER_ROOT_KEY": settings.ledger_root_key,
        "IG_WITNESS_URL (an address or off)": settings.witness_url,
    }
    missing = [name for name, value in needed.items() if not value]
    if missing:
        raise SubgraphError(
            ErrorCode.SETTINGS_INVALID, f"production mode needs {', '.join(missing)}"
        )
