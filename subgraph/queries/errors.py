"""Errors as clients see them: a stable code, a place, and nothing from inside."""

import logging
import re
from collections.abc import Iterable, Mapping, Sequence

from graphql import GraphQLError

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.telemetry import request_id

_log = logging.getLogger(__name__)

_VALUE = re.compile(
    r"(?P<kept>cannot represent [^:]*value): .*?(?P<meant> Did you mean .*)?\Z"
    r"|[,;.]? ?[Ff]ound: .*\Z",
    re.DOTALL,
)
"""Where the messages of graphql-core show the value that they refuse."""


def of_subgraph(error: SubgraphError) -> dict[str, object]:
    """A refused request as one entry of `errors`."""
    return {"message": error.message, "extensions": _identified(error.extensions)}


def of_request(errors: Sequence[GraphQLError], code: ErrorCode) -> list[dict[str, object]]:
    """Errors of a request that was not executed."""
    return [{**_place(error), "extensions": _identified({"code": code.name})} for error in errors]


def of_execution(errors: Iterable[GraphQLError]) -> list[dict[str, object]]:
    """Errors of single fields; an unexpected one is logged, and masked in the answer."""
    return [_field_error(error) for error in errors]


def codes(errors: Iterable[dict[str, object]]) -> tuple[str, ...]:
    """The codes in `errors`, in their order."""
    found = []
    for error in errors:
        extensions = error["extensions"]
        if isinstance(extensions, dict):
            found.append(str(extensions["code"]))
    return tuple(found)


def _field_error(error: GraphQLError) -> dict[str, object]:
    original = error.original_error
    while isinstance(original, GraphQLError) and original.original_error is not None:
        original = original.original_error
    if isinstance(original, SubgraphError):
        place = {**_place(error), "message": original.message}
        return {**place, "extensions": _identified(original.extensions)}
    if original is None or isinstance(original, GraphQLError):
        extensions = _identified({"code": ErrorCode.BAD_USER_INPUT.name})
        return {**_place(error), "extensions": extensions}
    _log.error("a field failed", exc_info=original)
    internal = SubgraphError(ErrorCode.INTERNAL_ERROR)
    extensions = _identified(internal.extensions)
    return {**_place(error), "message": internal.message, "extensions": extensions}


def _identified(extensions: Mapping[str, object]) -> dict[str, object]:
    return {**extensions, "requestId": request_id.get()}


def _place(error: GraphQLError) -> dict[str, object]:
    formatted = dict(error.formatted)
    formatted.pop("extensions", None)
    return {**formatted, "message": _without_value(error.message)}


def _without_value(message: str) -> str:
    """The message without the refused value, which may be what a record is to protect.

    The object that misses one field is shown with all its others; gateways log such messages.
    """

    def told(found: re.Match[str]) -> str:
        if found["kept"] is not None:
            return f"{found['kept']}.{found['meant'] or ''}"
        return "" if message[: found.start()].endswith("?") else "."

    return _VALUE.sub(told, message)
