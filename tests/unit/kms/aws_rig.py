"""AWS KMS as the tests of several modules use it: a proxy, fake credentials, one key a test."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from subgraph.kms.aws import AwsWrap
from subgraph.kms.contract import KeyProvider
from subgraph.kms.options import KmsOptions
from tests.unit.kms.aws_proxy import OPERATIONS, KmsProxy
from tests.unit.kms.wrap_conformance import KeyRig

ACCESS_KEY: Final = "AKIAIOSFODNN7EXAMPLE"
SECRET: Final = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN: Final = "FwoGZXIvYXdzEXAMPLEsessionTOKEN"
SECONDS: Final = 2.0


@pytest.fixture(scope="session")
def kms_server() -> Iterator[KmsProxy]:
    proxy = KmsProxy()
    yield proxy
    proxy.close()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the SDK finds; nothing of the machine's own configuration, and no metadata service."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def kms(kms_server: KmsProxy, credentials: None) -> Iterator[KmsProxy]:
    """The server of all tests, without requests and faults of other tests."""
    kms_server.requests.clear()
    yield kms_server
    kms_server.restore()


def options(kms: KmsProxy, **changes: Any) -> KmsOptions:
    settings: dict[str, Any] = {"seconds": SECONDS, "concurrency": 8, "aws_endpoint": kms.url}
    return KmsOptions(production=False, local_keys=Path("/nowhere"), **(settings | changes))


class AwsRig(KeyRig):
    provider = KeyProvider.AWS_KMS
    credentials = (SECRET, TOKEN)

    def __init__(self, kms: KmsProxy) -> None:
        self.kms = kms
        self.arn = kms.create_key()

    async def open(self, **changes: Any) -> AwsWrap:
        return await AwsWrap.open(self.arn, options(self.kms, **changes))

    async def open_other(self) -> AwsWrap:
        return await AwsWrap.open(self.kms.create_key(), options(self.kms))

    async def disable(self) -> None:
        self.kms.set_state(self.arn, "Disabled")

    async def enable(self) -> None:
        self.kms.set_state(self.arn, "Enabled")

    async def schedule_deletion(self) -> None:
        self.kms.set_state(self.arn, "PendingDeletion")

    async def delete(self) -> None:
        self.kms.key(self.arn).deleted = True

    async def deny(self) -> None:
        self.kms.key(self.arn).denied.update(OPERATIONS)

    async def allow(self) -> None:
        self.kms.key(self.arn).denied.clear()

    async def throttle(self) -> None:
        self.kms.throttle()

    async def hang(self) -> None:
        self.kms.hang()

    async def outage(self) -> None:
        self.kms.outage()

    async def restore(self) -> None:
        self.kms.restore()
