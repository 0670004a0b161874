"""The client for Google Cloud KMS, and what the service's answers stand for.

https://cloud.google.com/kms/docs/reference/rpc; the meaning of its errors after
https://cloud.google.com/kms/docs/data-integrity-guidelines and .../key-states.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from subgraph.kms.faults import KeyFault, KeyProviderError
from subgraph.outbound import is_protected

if TYPE_CHECKING:
    from google.cloud.kms_v1 import KeyManagementServiceAsyncClient

T = TypeVar("T")

logger = logging.getLogger(__name__)

_SCOPE: Final = "https://www.googleapis.com/auth/cloudkms"
_ADDRESS: Final = "cloudkms.googleapis.com"
_ATTEMPTS: Final = 3
_CHANNEL_OPTIONS: Final = (
    # A call waits for a lost connection to come back, as long as its deadline allows.
    (
        "grpc.service_config",
        json.dumps({"methodConfig": [{"name": [{}], "waitForReady": True}]}),
    ),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Else a connection that a firewall forgot is noticed after a quarter of an hour.
    ("grpc.keepalive_time_ms", 30_000),
)
_FAULTS: Final = {
    "RESOURCE_EXHAUSTED": KeyFault.THROTTLED,
    "PERMISSION_DENIED": KeyFault.ACCESS_DENIED,
    "UNAUTHENTICATED": KeyFault.ACCESS_DENIED,
    "NOT_FOUND": KeyFault.KEY_NOT_FOUND,
    "UNIMPLEMENTED": KeyFault.CONFIG,
}
_STATES: Final = {
    "DISABLED": KeyFault.KEY_DISABLED,
    "DESTROY_SCHEDULED": KeyFault.KEY_PENDING_DELETION,
    "PENDING_EXTERNAL_DESTRUCTION": KeyFault.KEY_PENDING_DELETION,
    "DESTROYED": KeyFault.KEY_NOT_FOUND,
    "EXTERNAL_DESTRUCTION_FAILED": KeyFault.KEY_NOT_FOUND,
    "IMPORT_FAILED": KeyFault.CONFIG,
    "GENERATION_FAILED": KeyFault.CONFIG,
}


class DamagedError(KeyProviderError):
    """Something changed on its way to Google or back; asking again may help."""

    def __init__(self, what: str) -> None:
        super().__init__(KeyFault.UNAVAILABLE, f"Google Cloud KMS: {what} was damaged on its way")


class FailedPreconditionError(KeyProviderError):
    """The state of the key, or of the project, forbids the call; the state tells which.

    `disabled` is whether the answer itself says that the version is not enabled.
    """

    def __init__(self, *, disabled: bool) -> None:
        self.disabled = disabled
        super().__init__(
            KeyFault.KEY_DISABLED if disabled else KeyFault.UNAVAILABLE,
            "Google Cloud KMS says that the key cannot be used in its present state",
        )


class InvalidArgumentError(KeyProviderError):
    """The request is wrong, or was damaged on its way: both are refused in the same words."""

    def __init__(self) -> None:
        super().__init__(KeyFault.CONFIG, "Google Cloud KMS does not accept the request")


async def open_client(endpoint: str | None) -> "KeyManagementServiceAsyncClient":
    """Return a client for this event loop, with the application default credentials.

    An endpoint on this machine is reached without TLS and credentials (an emulator). Raises
    `KeyProviderError` with CONFIG when there are no credentials.
    """
    local = endpoint is not None and is_protected(f"http://{endpoint}")
    # The import alone takes a second, and credentials are looked for in files and on the network.
    credentials = await asyncio.to_thread(_load, local=local)
    return _client(endpoint or _ADDRESS, credentials)


def _load(*, local: bool) -> Any:
    import google.auth
    from google.cloud.kms_v1.services.key_management_service.transports import grpc_asyncio

    # At DEBUG it logs whole messages: keys in plaintext, and tokens.
    logging.getLogger(grpc_asyncio.__name__).disabled = True
    if local:
        return None
    try:
        credentials, _ = google.auth.default(scopes=[_SCOPE])
    except google.auth.exceptions.DefaultCredentialsError as error:
        raise KeyProviderError(
            KeyFault.CONFIG, "no credentials for Google Cloud were found in this environment"
        ) from error
    return credentials


def _client(endpoint: str, credentials: Any) -> "KeyManagementServiceAsyncClient":
    import grpc
    from google.cloud.kms_v1 import KeyManagementServiceAsyncClient
    from google.cloud.kms_v1.services.key_management_service.transports import (
        KeyManagementServiceGrpcAsyncIOTransport as Transport,
    )

    def channel(host: str, **settings: Any) -> Any:
        settings["options"] = [*settings["options"], *_CHANNEL_OPTIONS]
        return Transport.create_channel(host, **settings)

    if credentials is None:
        plain = grpc.aio.insecure_channel(endpoint, options=_CHANNEL_OPTIONS)
        return KeyManagementServiceAsyncClient(transport=Transport(channel=plain))
    transport = Transport(host=endpoint, credentials=credentials, channel=channel)
    return KeyManagementServiceAsyncClient(transport=transport)


async def close_client(client: "KeyManagementServiceAsyncClient") -> None:
    """Close the connection; calls that are under way end with UNAVAILABLE."""
    close: Callable[[], Awaitable[None]] = client.transport.close
    await close()


async def ask(call: Callable[..., Awaitable[T]], request: Any, seconds: float) -> T:
    """Send `request` once, and return the answer.

    Raises `KeyProviderError` with the fault that the status stands for: the client's own retries,
    which can take a minute and never try again when throttled, are off.
    """
    from google.api_core.exceptions import GoogleAPICallError

    try:
        return await call(request=request, retry=None, timeout=seconds)
    except GoogleAPICallError as error:
        raise _meaning(error) from error


def _meaning(error: Any) -> KeyProviderError:
    status = "no status" if error.grpc_status_code is None else error.grpc_status_code.name
    if status == "INVALID_ARGUMENT":
        return InvalidArgumentError()
    if status == "FAILED_PRECONDITION":
        violations = [
            violation.type
            for detail in error.details
            for violation in getattr(detail, "violations", ())
        ]
        return FailedPreconditionError(disabled="KEY_DISABLED" in violations)
    fault = _FAULTS.get(status, KeyFault.UNAVAILABLE)
    return KeyProviderError(fault, f"Google Cloud KMS answered {status}", status=status)


def state_error(version: Any) -> KeyProviderError | None:
    """What it means for calls that `version` is in its state; None when it is enabled.

    A version that is still being made or imported is UNAVAILABLE: it becomes usable by itself.
    """
    state = version.state.name
    if state == "ENABLED":
        return None
    fault = _STATES.get(state, KeyFault.UNAVAILABLE)
    return KeyProviderError(fault, f"the state of {version.name} is {state}", state=state)


async def repeated(once: Callable[[], Awaitable[T]]) -> T:
    """Return the outcome of `once`, tried up to three times when something may be damaged."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await once()
        except (DamagedError, InvalidArgumentError) as error:
            logger.warning("%s; asking again", error.message)
    return await once()
