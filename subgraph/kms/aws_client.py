"""The AWS SDK, as it is called for one key: its clients, deadlines, threads and log lines."""

import functools
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

from subgraph.kms import aws_faults
from subgraph.kms.aws_arn import AwsKeyArn
from subgraph.kms.calls import CallThreads
from subgraph.kms.faults import KeyFault, KeyProviderError

T = TypeVar("T")

# An SDK's import and its search for credentials take this long at most, on a busy machine.
_START_SECONDS: Final = 20.0
_CONNECT_SECONDS: Final = 1.0
_READ_SECONDS: Final = 2.0
_ATTEMPTS: Final = 2
# Connections that are kept, not a limit: all accounts of a region share them.
_KEPT_CONNECTIONS: Final = 64
_CLIENTS: Final = 64
_TALKERS: Final = (
    "botocore.auth", "botocore.awsrequest", "botocore.client", "botocore.endpoint",
    "botocore.hooks", "botocore.httpsession", "botocore.parsers", "botocore.regions",
)  # fmt: skip


class AwsKey:
    """Calls AWS KMS for one key, within a deadline, on the threads of the key's account and region.

    Clients are shared by all keys of a region; they hold connections and credentials, no key.
    """

    def __init__(
        self, arn: AwsKeyArn, threads: CallThreads, *, seconds: float, endpoint: str | None
    ) -> None:
        self.arn: Final = arn
        self.seconds: Final = seconds
        self._endpoint = endpoint
        self._threads = threads
        self._closed = False

    @classmethod
    async def open(
        cls, arn: AwsKeyArn, threads: CallThreads, *, seconds: float, endpoint: str | None
    ) -> Self:
        """Load the SDK and look for credentials; asks nothing of the key.

        `endpoint` is AWS's address for the region if None. Raises `KeyProviderError`: CONFIG
        without the SDK or credentials, and for a region that the ARN's partition does not have.
        """
        key = cls(arn, threads, seconds=seconds, endpoint=endpoint)
        await threads.run(key._client, max(_START_SECONDS, seconds))
        return key

    async def run(self, job: Callable[[Self], T], *, seconds: float | None = None) -> T:
        """Return the outcome of `job`, which makes its calls through `ask`, on a thread."""
        if self._closed:
            raise KeyProviderError(KeyFault.UNAVAILABLE, "the key was given back")
        return await self._threads.run(
            lambda: job(self), self.seconds if seconds is None else seconds
        )

    def close(self) -> None:
        """Refuse further calls; the clients stay, for other keys share them."""
        self._closed = True

    def ask(self, operation: str, *, once: bool = False, **parameters: Any) -> dict[str, Any]:
        """Return the answer to `operation` (a method of the SDK) on this key.

        MUST be called within `run`. With `once` nothing is tried a second time. Raises
        `KeyProviderError`; where AWS speaks of the key's state, the state is asked for.
        """
        client = self._client(1 if once else _ATTEMPTS)
        try:
            return _call(client, operation, KeyId=self.arn.text, **parameters)
        except KeyProviderError as error:
            if aws_faults.code_of(error) != aws_faults.INVALID_STATE:
                raise
            # Who may not describe the key has to do with the first fault, which tells less.
            try:
                described = _call(client, "describe_key", KeyId=self.arn.text)
            except KeyProviderError:
                raise error from None
            state = text(text_map(described, "KeyMetadata"), "KeyState")
            if aws_faults.is_usable(state):
                raise
            raise aws_faults.of_state(state, self.arn.text) from error

    def _client(self, attempts: int = _ATTEMPTS) -> Any:
        made = _Making(
            arn_partition=self.arn.partition,
            region=self.arn.region,
            endpoint=self._endpoint,
            seconds=self.seconds,
            attempts=attempts,
            process=os.getpid(),
        )
        return _client(made)


@dataclass(frozen=True, slots=True)
class _Making:
    """What makes one client differ from another."""

    arn_partition: str
    region: str
    endpoint: str | None
    seconds: float
    attempts: int
    process: int


def text(answer: dict[str, Any], name: str) -> str:
    """A string of an answer; UNAVAILABLE if it is not there."""
    return _field(answer, name, str)


def blob(answer: dict[str, Any], name: str) -> bytes:
    """A binary value of an answer; UNAVAILABLE if it is not there."""
    return _field(answer, name, bytes)


def text_map(answer: dict[str, Any], name: str) -> dict[str, Any]:
    """A structure of an answer; UNAVAILABLE if it is not there."""
    return _field(answer, name, dict)


def _field(answer: dict[str, Any], name: str, kind: type[T]) -> T:
    value = answer.get(name)
    if not isinstance(value, kind) or not value:
        message = f"AWS KMS gave a strange answer: no {name}"
        raise KeyProviderError(KeyFault.UNAVAILABLE, message)
    return value


def _call(client: Any, operation: str, **parameters: Any) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = getattr(client, operation)(**parameters)
    except Exception as error:
        # Of an answer that is none the SDK raises anything.
        raise aws_faults.of_error(error) from error
    return answer


@functools.lru_cache(_CLIENTS)
def _client(making: _Making) -> Any:
    _silence()
    try:
        return _made(making)
    except KeyProviderError:
        raise
    except ImportError:
        message = "keys of AWS KMS need the extra `aws`, which is not installed"
        raise KeyProviderError(KeyFault.CONFIG, message) from None
    except Exception as error:
        # A broken configuration file can raise anything.
        raise aws_faults.of_error(error) from error


def _made(making: _Making) -> Any:
    import boto3.session
    from botocore.config import Config

    # Sessions may not be shared between threads; clients may.
    session = boto3.session.Session(region_name=making.region)
    if session.get_partition_for_region(making.region) != making.arn_partition:
        message = f"the region {making.region} is not of the partition {making.arn_partition}"
        raise KeyProviderError(KeyFault.CONFIG, message)
    # A client that was made without credentials would never look for them again.
    if session.get_credentials() is None:
        raise KeyProviderError(KeyFault.CONFIG, "the deployment has no credentials for AWS")
    return session.client(
        "kms",
        endpoint_url=making.endpoint,
        config=Config(
            connect_timeout=min(_CONNECT_SECONDS, making.seconds),
            read_timeout=min(_READ_SECONDS, making.seconds),
            retries={"mode": "standard", "total_max_attempts": making.attempts},
            max_pool_connections=_KEPT_CONNECTIONS,
        ),
    )


def _silence() -> None:
    # At DEBUG the SDK logs requests and answers, and thereby plaintext data keys.
    for name in _TALKERS:
        logging.getLogger(name).addFilter(_above_debug)


def _above_debug(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG
