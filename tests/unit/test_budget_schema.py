"""The price that stands on each query of a data set, and the entities of privacy budgets."""

import re

import pytest

from tests.unit.test_schema import PUBLISHED

PRICES = {
    "count": ("0.1", "DISCRETE_LAPLACE", "COUNT"),
    "distinctCount": ("0.1", "DISCRETE_LAPLACE", "DISTINCT_COUNT"),
    "sum": ("0.1", "DISCRETE_LAPLACE", "SUM"),
    "mean": ("0.2", "DISCRETE_LAPLACE", "MEAN"),
    "variance": ("0.3", "DISCRETE_LAPLACE", "VARIANCE"),
    "quantile": ("0.2", "EXPONENTIAL", "QUANTILE"),
    "histogram": ("0.1", "DISCRETE_LAPLACE", "HISTOGRAM"),
}


@pytest.mark.parametrize("query", sorted(PRICES))
def test_price_stands_on_the_query_as_composers_read_it(query: str) -> None:
    (queries,) = re.findall(r"^type DpQueries \{\n(.*?)^\}", PUBLISHED, re.MULTILINE | re.DOTALL)
    (stated,) = re.findall(rf"^  {query}\(.*?^  \): \w+ (@.*?)$", queries, re.MULTILINE | re.DOTALL)
    epsilon, mechanism, kind = PRICES[query]
    assert stated == (
        f'@dpCost(epsilon: "{epsilon}", epsilonArgument: "epsilon", minEpsilon: "0.001",'
        f' maxEpsilon: "1", mechanisms: [{mechanism}], query: {kind})'
    )


@pytest.mark.parametrize("key", ["PrivacyBudget", "DpSpend", "BudgetOverride"])
def test_type_is_an_entity(key: str) -> None:
    assert re.search(rf'^type {key} @key\(fields: "id"\)', PUBLISHED, re.MULTILINE)
