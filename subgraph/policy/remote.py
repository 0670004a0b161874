"""The policy as a remote Open Policy Agent tells it, over OPA's REST protocol.

`POST <address of the decision>` with `{"input": ...}` answers `{"result": ...}`, without `result`
where the policy says nothing (OPA, REST API, "Get a Document (with Input)").
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from typing import Final

import httpx
import orjson

from subgraph import outbound
from subgraph.errors import ErrorCode, SubgraphError

_MAX_CALLS: Final = 32
_MAX_RESPONSE_BYTES: Final = 1_048_576

logger = logging.getLogger(__name__)


class RemotePolicy:
    """Asks one OPA, at most 32 calls at once, each within the deadline, waiting included.

    `epoch` follows the bundle revisions that OPA names as the provenance of its answers.
    """

    def __init__(self, url: str, deadline_seconds: float) -> None:
        self._url = httpx.URL(url).copy_merge_params({"provenance": "true"})
        self._deadline_seconds = deadline_seconds
        self._client = outbound.client(deadline_seconds, _MAX_CALLS)
        self._slots = asyncio.Semaphore(_MAX_CALLS)
        self.epoch = _epoch(url, None)

    async def evaluate(self, document: Mapping[str, object]) -> object:
        """Return the result for `document`, or None where the policy says nothing.

        Raises `SubgraphError(POLICY_UNAVAILABLE)` for everything that is not an answer in time.
        """
        try:
            async with asyncio.timeout(self._deadline_seconds), self._slots:
                status, body = await self._post(orjson.dumps({"input": document}))
            answer = orjson.loads(body) if status == httpx.codes.OK else None
        except (TimeoutError, httpx.HTTPError, outbound.ResponseTooLarge, ValueError) as error:
            raise _unavailable(type(error).__name__) from None
        if not isinstance(answer, dict):
            raise _unavailable(f"status {status}")
        self.epoch = _epoch(str(self._url), answer.get("provenance"))
        return answer.get("result")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _post(self, content: bytes) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"}
        async with self._client.stream(
            "POST", self._url, content=content, headers=headers
        ) as response:
            return response.status_code, await outbound.read_bounded(response, _MAX_RESPONSE_BYTES)


def _unavailable(reason: str) -> SubgraphError:
    logger.warning("the policy decision point gave no answer: %s", reason)
    return SubgraphError(ErrorCode.POLICY_UNAVAILABLE)


def _epoch(url: str, provenance: object) -> str:
    # The build of OPA stands in the provenance too, but a decision does not depend on it.
    revisions = (
        [provenance.get("revision"), provenance.get("bundles")]
        if isinstance(provenance, dict)
        else []
    )
    text = orjson.dumps([url, revisions], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()
