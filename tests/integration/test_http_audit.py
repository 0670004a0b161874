"""The public audit of GraphQL over HTTP holds in full."""

from urllib.parse import urljoin

from tests.integration import node
from tests.integration.stack import Served

AUDITS = 61


def test_every_audit_is_ok(served: Served) -> None:
    report = node.run_json(
        "tests/node/audit.mjs",
        urljoin(served.url, "/graphql"),
        f"Bearer {served.tokens['viewer']}",
    )
    assert (report["failures"], report["ok"]) == ([], AUDITS)
