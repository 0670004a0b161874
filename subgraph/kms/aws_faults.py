"""What the AWS SDK raises, in our words; told apart by code, for AWS changes its texts."""

from types import MappingProxyType
from typing import Any, Final

from subgraph.kms.faults import KeyFault, KeyProviderError

INVALID_STATE: Final = "KMSInvalidStateException"

# Codes of the KMS service model, of the API's common errors, and of STS, which credentials come
# from. Whatever is not listed is UNAVAILABLE: it may not pass for a denial or for damage.
_CODES: Final = MappingProxyType(
    {
        **dict.fromkeys(
            (
                "ThrottlingException", "Throttling", "ThrottledException", "RequestThrottled",
                "RequestThrottledException", "RequestLimitExceeded", "TooManyRequestsException",
                "SlowDown",
            ),
            KeyFault.THROTTLED,
        ),
        "DisabledException": KeyFault.KEY_DISABLED,
        "NotFoundException": KeyFault.KEY_NOT_FOUND,
        **dict.fromkeys(
            (
                "AccessDenied", "AccessDeniedException", "ExpiredToken", "ExpiredTokenException",
                "IncompleteSignature", "InvalidClientTokenId", "InvalidIdentityToken",
                "InvalidSignatureException", "MissingAuthenticationToken",
                "MissingAuthenticationTokenException", "NotAuthorized", "OptInRequired",
                "RequestExpired", "SignatureDoesNotMatch", "UnrecognizedClientException",
            ),
            KeyFault.ACCESS_DENIED,
        ),
        "IncorrectKeyException": KeyFault.WRONG_KEY,
        "InvalidCiphertextException": KeyFault.INTEGRITY,
        **dict.fromkeys(
            (
                "InvalidArnException", "InvalidGrantTokenException", "InvalidKeyUsageException",
                "LimitExceededException", "SerializationException", "UnknownOperationException",
                "UnsupportedOperationException", "ValidationException",
            ),
            KeyFault.CONFIG,
        ),
    }
)  # fmt: skip
# A key that waits for import has lost its material: its owner deleted it, or it expired.
_STATES: Final = MappingProxyType(
    {
        "Disabled": KeyFault.KEY_DISABLED,
        "PendingImport": KeyFault.KEY_DISABLED,
        "PendingDeletion": KeyFault.KEY_PENDING_DELETION,
        "PendingReplicaDeletion": KeyFault.KEY_PENDING_DELETION,
    }
)
_USABLE: Final = frozenset({"Enabled", "Updating"})
_MISSET: Final = frozenset(
    {
        "ConfigNotFound", "ConfigParseError", "InvalidConfigError", "InvalidRegionError",
        "NoCredentialsError", "NoRegionError", "ParamValidationError", "PartialCredentialsError",
        "ProfileNotFound", "UnknownRegionError",
    }
)  # fmt: skip
_TOO_MANY_REQUESTS: Final = 429


def is_usable(state: str) -> bool:
    """Whether a key in this `KeyState` encrypts and decrypts."""
    return state in _USABLE


def of_state(state: str, arn: str) -> KeyProviderError:
    """The fault of a key in a `KeyState` that does not let it be used."""
    fault = _STATES.get(state, KeyFault.UNAVAILABLE)
    return KeyProviderError(fault, f"AWS KMS says that {arn} is {state}", keyState=state)


def of_error(error: Exception) -> KeyProviderError:
    """The fault that something raised by the SDK stands for.

    The text names the code, the operation and AWS's request id, never AWS's own words: those name
    the service's identity.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    if isinstance(error, ClientError):
        return _of_answer(error.response, error.operation_name)
    name = type(error).__name__
    if name in _MISSET:
        message = f"AWS KMS cannot be called with this deployment's configuration ({name})"
        return KeyProviderError(KeyFault.CONFIG, message)
    said = "did not answer" if isinstance(error, BotoCoreError) else "gave a strange answer"
    return KeyProviderError(KeyFault.UNAVAILABLE, f"AWS KMS {said} ({name})")


def code_of(error: KeyProviderError) -> object:
    """The code of AWS behind a fault, or None."""
    return error.details.get("providerCode")


def _of_answer(response: dict[str, Any], operation: str) -> KeyProviderError:
    metadata = response.get("ResponseMetadata", {})
    code = str(response.get("Error", {}).get("Code", ""))
    fault = _CODES.get(code, KeyFault.UNAVAILABLE)
    if code not in _CODES and metadata.get("HTTPStatusCode") == _TOO_MANY_REQUESTS:
        fault = KeyFault.THROTTLED
    return KeyProviderError(
        fault,
        f"AWS KMS answered {code} to {operation}, request {metadata.get('RequestId', 'unknown')}",
        providerCode=code,
    )
