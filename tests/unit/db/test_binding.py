"""Statements and transactions are bound to a tenant exactly as long as they run."""

import pytest

from subgraph.db.binding import tenant_read


def test_a_statement_that_does_not_compare_its_tenant_is_refused() -> None:
    with pytest.raises(ValueError, match=r"bound\.tenant"):
        tenant_read("SELECT * FROM tenant")
