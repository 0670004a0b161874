"""The ways to the fields of privacy budgets; see `roads`."""

from collections.abc import Mapping, Sequence

DATASET = '{ tenant(id: "$tenant") { dataset(id: "$dataset") { %s } } }'
BUDGET = '{ tenant(id: "$tenant") { privacyBudget { %s } } }'
BUDGETS = '{ tenant(id: "$tenant") { privacyBudgets { %s } } }'
ENTITY = '{ _entities(representations: [{ __typename: "%s", id: "%s" }]) { ... on %s { %%s } } }'
OVERRIDE = '{ budgetOverride(id: "$override") { %s } }'
ESTIMATE = (
    '{ dpEstimate(document: "{ tenant(id: \\"$tenant\\") { dataset(id: \\"$dataset\\")'
    ' { dp { count { value } } } } }") { %s } }'
)
_POLICY = '(tenantId: "$tenant", input: { epsilonLimit: "1000" })'
_OVERRIDE = (
    '(tenantId: "$tenant", idempotencyKey: "$key", input: { epsilon: "1", warrant: {'
    ' reference: "2026/117", issuedBy: "Board", issuedAt: "2020-01-01T00:00:00Z",'
    ' expiresAt: "2120-01-01T00:00:00Z", documentDigest: "$digest" } })'
)
_APPROVE = '(id: "$override", requestDigest: "$digest")'
_REJECT = '(id: "$override", reason: "No.")'
_PUBLISH = '(id: "$dataset", version: "1")'
_MUTATIONS = {
    "setBudgetPolicy": _POLICY,
    "requestBudgetOverride": _OVERRIDE,
    "approveBudgetOverride": _APPROVE,
    "rejectBudgetOverride": _REJECT,
    "publishDatasetVersion": _PUBLISH,
}

ROADS: Mapping[str, Sequence[str]] = {
    "BudgetPolicy": ['{ tenant(id: "$tenant") { budgetPolicy { %s } } }'],
    "PrivacyBudget": [
        BUDGET,
        BUDGETS % "nodes { %s }",
        BUDGETS % "edges { node { %s } }",
        ENTITY % ("PrivacyBudget", "$budget", "PrivacyBudget"),
    ],
    "PrivacyBudgetConnection": [BUDGETS],
    "PrivacyBudgetEdge": [BUDGETS % "edges { %s }"],
    "DpSpend": [
        BUDGET % "spends { nodes { %s } }",
        ENTITY % ("DpSpend", "$spend", "DpSpend"),
        DATASET % "dp { count { spend { %s } } }",
    ],
    "DpSpendConnection": [BUDGET % "spends { %s }"],
    "DpSpendEdge": [BUDGET % "spends { edges { %s } }"],
    "BudgetOverride": [
        OVERRIDE,
        BUDGET % "overrides { nodes { %s } }",
        ENTITY % ("BudgetOverride", "$override", "BudgetOverride"),
    ],
    "BudgetOverrideConnection": [BUDGET % "overrides { %s }"],
    "BudgetOverrideEdge": [BUDGET % "overrides { edges { %s } }"],
    "Warrant": [OVERRIDE % "warrant { %s }"],
    "DpQueries": [DATASET % "dp { %s }", ENTITY % ("Dataset", "$dataset", "Dataset") % "dp { %s }"],
    "DpNumber": [DATASET % "dp { count { %s } }"],
    "DpHistogram": [DATASET % 'dp { histogram(column: "age", bins: [0, 120]) { %s } }'],
    "DpCell": [DATASET % 'dp { histogram(column: "age", bins: [0, 120]) { cells { %s } } }'],
    "DpEstimate": [ESTIMATE],
    "DpEstimatedRelease": [ESTIMATE % "releases { %s }"],
    **{
        f"{name[0].upper()}{name[1:]}Payload": ["mutation { %s%s { %%s } }" % (name, arguments)]  # noqa: UP031
        for name, arguments in _MUTATIONS.items()
    },
}
ARGUMENTS: Mapping[str, str] = {
    "Query.budgetOverride": '(id: "$override")',
    "DpQueries.sum": '(column: "age")',
    "DpQueries.mean": '(column: "age")',
    "DpQueries.variance": '(column: "age")',
    "DpQueries.quantile": '(column: "age", q: 0.5)',
    "DpQueries.histogram": '(column: "age", bins: [0, 120])',
    **{f"Mutation.{name}": arguments for name, arguments in _MUTATIONS.items()},
}
