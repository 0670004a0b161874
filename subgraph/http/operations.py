"""From a parsed body or a query string to operation requests.

See https://graphql.github.io/graphql-over-http/draft/#sec-Request-Parameters. Members that the
specification does not name are ignored.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from subgraph.errors import ErrorCode, SubgraphError
from subgraph.http.body import check_text, parse_json
from subgraph.queries.model import OperationRequest

_PARAMETERS: Final = frozenset({"query", "variables", "operationName", "extensions"})
_MAX_FIELDS: Final = 100


def from_object(value: object) -> OperationRequest:
    """Return the request that a JSON object makes.

    Raises `SubgraphError` with BAD_REQUEST that names the member at fault.
    """
    if not isinstance(value, dict):
        raise SubgraphError(ErrorCode.BAD_REQUEST, "A request must be a JSON object.")
    return _request(value, read_only=False)


def entries_of(batch: list[object], limit: int) -> list[OperationRequest | SubgraphError]:
    """Each entry of an array batch as its request, or as the error that answers it alone.

    Raises `SubgraphError` with BATCH_TOO_LARGE for no entry, or more than `limit`.
    """
    if not 0 < len(batch) <= limit:
        raise SubgraphError(ErrorCode.BATCH_TOO_LARGE, f"A batch holds 1 to {limit} operations.")
    return [_entry(value) for value in batch]


def from_query_string(query_string: bytes) -> OperationRequest:
    """Return the read-only request that the parameters of a GET make.

    Raises `SubgraphError` with BAD_REQUEST, for a parameter that is given twice too, or with a
    code of `parse_json` for `variables` and `extensions`.
    """
    parameters: dict[str, object] = {}
    for name, text in _fields(query_string):
        if name not in _PARAMETERS:
            continue
        if name in parameters:
            raise SubgraphError(ErrorCode.BAD_REQUEST, f"`{name}` is given twice.")
        check_text(text)
        is_json = name in ("variables", "extensions")
        parameters[name] = parse_json(text.encode()) if is_json else text
    # The specification: an empty operationName is no operationName.
    parameters["operationName"] = parameters.get("operationName") or None
    return _request(parameters, read_only=True)


def _entry(value: object) -> OperationRequest | SubgraphError:
    try:
        return from_object(value)
    except SubgraphError as error:
        return error


def _fields(query_string: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_FIELDS,
        )
    except UnicodeDecodeError:
        raise SubgraphError(
            ErrorCode.INVALID_UTF8, "The query string is not percent-encoded UTF-8."
        ) from None
    except ValueError:
        raise SubgraphError(ErrorCode.BAD_REQUEST, "There are too many parameters.") from None


def _request(members: Mapping[str, object], *, read_only: bool) -> OperationRequest:
    document = members.get("query")
    if not isinstance(document, str):
        raise SubgraphError(ErrorCode.BAD_REQUEST, "`query` must be a string.")
    name = members.get("operationName")
    if name is not None and not isinstance(name, str):
        raise SubgraphError(ErrorCode.BAD_REQUEST, "`operationName` must be a string or null.")
    return OperationRequest(
        document,
        name,
        _mapping(members, "variables"),
        _mapping(members, "extensions"),
        read_only,
    )


def _mapping(members: Mapping[str, object], name: str) -> Mapping[str, object] | None:
    value = members.get(name)
    if value is None or isinstance(value, dict):
        return value
    raise SubgraphError(ErrorCode.BAD_REQUEST, f"`{name}` must be an object or null.")
