"""The pages that a platform asks: is the process alive, can it serve, what does it count."""

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from subgraph.errors import ErrorCode
from subgraph.http.ports import Metrics, Readiness

OK: Final = "ok"

_REASON_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_NO_STORE: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}

Page = Callable[[Request], Coroutine[Any, Any, Response]]

logger = logging.getLogger(__name__)


async def healthz(_: Request) -> Response:
    """Answer 200 as long as the event loop turns."""
    return JSONResponse({"status": OK}, headers=_NO_STORE)


def readyz(readiness: Readiness, seconds: float) -> Page:
    """Make a page that is 200 when every check is `ok`, else 503 with a reason code for each.

    Checks that take longer than `seconds`, or fail, count as not ready. What they say beyond a
    code stays inside.
    """

    async def page(_: Request) -> Response:
        try:
            async with asyncio.timeout(seconds):
                checks = _codes(await readiness())
        except TimeoutError:
            checks = {"readiness": ErrorCode.DEADLINE_EXCEEDED.name}
        except Exception:
            logger.exception("the readiness checks failed")
            checks = {"readiness": ErrorCode.INTERNAL_ERROR.name}
        ready = all(state == OK for state in checks.values())
        status = OK if ready else "unavailable"
        return JSONResponse(
            {"status": status, "checks": checks},
            status_code=200 if ready else 503,
            headers=_NO_STORE,
        )

    return page


def metrics_page(metrics: Metrics) -> Page:
    """Make a page of the process's metrics."""

    async def page(_: Request) -> Response:
        body, content_type = metrics()
        return Response(body, headers={**_NO_STORE, "content-type": content_type})

    return page


def _codes(checks: Mapping[str, str]) -> dict[str, str]:
    return {
        name: state
        if state == OK or _REASON_CODE.fullmatch(state)
        else ErrorCode.INTERNAL_ERROR.name
        for name, state in checks.items()
    }
