"""One door to all providers: what is not installed or configured is said plainly."""

import builtins
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from subgraph.kms.contract import KeyProvider
from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.kms.local import LocalWrap
from subgraph.kms.options import KmsOptions
from subgraph.kms.providers import open_wrap
from tests.unit.kms.wrap_conformance import CONTEXT, KEY


@pytest.fixture
def options(tmp_path: Path) -> KmsOptions:
    return KmsOptions(production=False, seconds=5.0, concurrency=2, local_keys=tmp_path / "keys")


async def refusal(provider: KeyProvider, uri: str, options: KmsOptions) -> KeyProviderError:
    with pytest.raises(KeyProviderError) as caught:
        await open_wrap(provider, uri, "acme", options, create=True)
    return caught.value


async def test_a_local_key_is_opened(options: KmsOptions) -> None:
    wrapper = await open_wrap(KeyProvider.LOCAL, "local:main", "acme", options, create=True)
    assert isinstance(wrapper, LocalWrap)
    again = await open_wrap(KeyProvider.LOCAL, "local:main", "acme", options)
    assert await again.unwrap(await wrapper.wrap(KEY, CONTEXT), CONTEXT) == KEY


@pytest.mark.parametrize("provider", KeyProvider)
async def test_an_address_of_nothing_is_refused(provider: KeyProvider, options: KmsOptions) -> None:
    error = await refusal(provider, "file:/etc/passwd", replace(options, production=True))
    assert error.fault is KeyFault.CONFIG


@pytest.mark.parametrize(
    ("provider", "uri"),
    [
        (KeyProvider.PKCS11, "pkcs11:token=t;object=k"),
        (KeyProvider.OPENBAO, "openbao:transit/k"),
    ],
)
async def test_a_provider_that_is_not_configured_is_refused(
    provider: KeyProvider, uri: str, options: KmsOptions
) -> None:
    error = await refusal(provider, uri, options)
    assert error.fault is KeyFault.CONFIG and "this deployment reaches no" in error.message


@pytest.mark.parametrize(
    ("provider", "extra"),
    [
        (KeyProvider.AWS_KMS, "aws"),
        (KeyProvider.GCP_KMS, "gcp"),
        (KeyProvider.AZURE_KEY_VAULT, "azure"),
    ],
)
async def test_an_extra_that_is_missing_is_named(
    provider: KeyProvider, extra: str, options: KmsOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith(f"subgraph.kms.{extra}"):
            raise ModuleNotFoundError(name="its_library")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    error = await refusal(provider, "key", options)
    assert error.fault is KeyFault.CONFIG
    assert f"the extra `{extra}`" in error.message and "its_library" in error.message


def test_no_library_of_a_provider_is_loaded_before_it_is_needed() -> None:
    program = (
        "import sys, subgraph.kms.providers, subgraph.kms.signers\n"
        "heavy = {'boto3', 'botocore', 'google.cloud', 'grpc', 'azure', 'aiohttp', 'pkcs11'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"
