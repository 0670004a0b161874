"""How this deployment reaches the providers of keys."""

from dataclasses import dataclass
from pathlib import Path

from subgraph.settings import Settings


@dataclass(frozen=True, slots=True)
class KmsOptions:
    """What the operator decides; a tenant only names its key.

    Addresses, libraries and credentials never come from a tenant: a key address that could name
    them would let it load code here, or reach machines that only the service can reach.
    `seconds` bounds every call, `concurrency` the calls under way at one provider.
    """

    production: bool
    seconds: float
    concurrency: int
    local_keys: Path
    aws_endpoint: str | None = None
    gcp_endpoint: str | None = None
    azure_hosts: tuple[str, ...] = ()
    pkcs11_module: Path | None = None
    pkcs11_pins: Path | None = None
    openbao_url: str | None = None
    openbao_token_file: Path | None = None

    @classmethod
    def of(cls, settings: Settings) -> "KmsOptions":
        """The options that the settings give."""
        return cls(
            production=settings.production,
            seconds=settings.kms_deadline_ms / 1000,
            concurrency=settings.kms_concurrency,
            local_keys=settings.data_path / "local-keys",
            aws_endpoint=settings.aws_kms_endpoint,
            gcp_endpoint=settings.gcp_kms_endpoint,
            azure_hosts=tuple(
                host.strip() for host in settings.azure_vault_hosts.split(",") if host.strip()
            ),
            pkcs11_module=_path(settings.pkcs11_module),
            pkcs11_pins=_path(settings.pkcs11_pin_dir),
            openbao_url=settings.openbao_url,
            openbao_token_file=_path(settings.openbao_token_file),
        )


def _path(named: str | None) -> Path | None:
    return None if named is None else Path(named)
