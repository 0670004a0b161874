"""`KeyProvider`."""

from subgraph.federation.declare import described_enum
from subgraph.kms.contract import KeyProvider

__all__ = ["KeyProvider"]

described_enum(
    KeyProvider,
    {
        "AWS_KMS": "AWS Key Management Service.",
        "GCP_KMS": "Google Cloud Key Management Service.",
        "AZURE_KEY_VAULT": "Azure Key Vault, or its Managed HSM.",
        "PKCS11": "A hardware security module, through PKCS#11.",
        "OPENBAO": "OpenBao or Vault, its transit engine.",
        "LOCAL": "A software key in a file of this service; for development only.",
    },
)
