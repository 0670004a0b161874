"""Addresses of keys in vaults: which ones the service may go to."""

import pytest

from subgraph.kms.azure_vault import KeyAddress
from subgraph.kms.faults import KeyFault, KeyProviderError

HOSTS = ("vault.azure.net", "localhost:8443")


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "http://acme.vault.azure.net/keys/tenants",
        "https://acme.vault.azure.net/secrets/tenants",
        "https://acme.vault.azure.net/keys/tenants/",
        "https://acme.vault.azure.net/keys/tenants\n",
        "https://acme.vault.azure.net/keys/tenants?x=y",
        "https://acme.vault.azure.net/keys/../secrets",
        "https://acme.vault.azure.net/keys/%2e%2e",
        "https://acme.vault.azure.net/keys/tenants/latest",
        "https://acme.vault.azure.net:8443/keys/tenants",
        "https://acme.vault.azure.net@evil.example/keys/tenants",
        "https://evil.example\\.vault.azure.net/keys/tenants",
        "https://evil.example#.vault.azure.net/keys/tenants",
        "https://evil.example/.vault.azure.net/keys/tenants",
        "https://.vault.azure.net/keys/tenants",
        "https://a.b.vault.azure.net/keys/tenants",
        "https://evilvault.azure.net/keys/tenants",
        "https://acme.vault.azure.net.evil.example/keys/tenants",
        "https://169.254.169.254/keys/tenants",
        "https://localhost/keys/tenants",
        "https://localhost:8444/keys/tenants",
        "https://acme.localhost:8443.evil.example/keys/tenants",
    ],
)
def test_only_keys_of_allowed_hosts_are_understood(uri: str) -> None:
    with pytest.raises(KeyProviderError) as caught:
        KeyAddress.parse(uri, HOSTS)
    assert caught.value.fault is KeyFault.CONFIG


@pytest.mark.parametrize("host", ["acme.vault.azure.net", "ACME.Vault.Azure.Net", "localhost:8443"])
def test_vaults_below_an_allowed_domain_are_understood(host: str) -> None:
    assert KeyAddress.parse(f"https://{host}/keys/tenants", HOSTS).host == host.lower()
