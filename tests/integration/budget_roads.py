"""The ways to the fields of privacy budgets; see `roads`."""

from tests.integration.templates import DATASET, ENTITY, TENANT

BUDGET = TENANT % "privacyBudget { %s }"
BUDGETS = TENANT % "privacyBudgets { %s }"
OVERRIDE = '{ budgetOverride(id: "$override") { %s } }'
ESTIMATE = '{ dpEstimate(document: "{ caller { subject } }") { %s } }'
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

BUDGET_ROADS: dict[str, list[str]] = {
    "BudgetPolicy": [TENANT % "budgetPolicy { %s }"],
    "PrivacyBudget": [
        BUDGET,
        BUDGETS % "nodes { %s }",
        BUDGETS % "edges { node { %s } }",
        ENTITY % ("PrivacyBudget", "id", "$budget", "PrivacyBudget"),
    ],
    "PrivacyBudgetConnection": [BUDGETS],
    "PrivacyBudgetEdge": [BUDGETS % "edges { %s }"],
    "DpSpend": [
        BUDGET % "spends(first: 1) { nodes { %s } }",
        ENTITY % ("DpSpend", "id", "$spend", "DpSpend"),
        DATASET % "dp { count { spend { %s } } }",
    ],
    "DpSpendConnection": [BUDGET % "spends { %s }"],
    "DpSpendEdge": [BUDGET % "spends { edges { %s } }"],
    "BudgetOverride": [
        OVERRIDE,
        BUDGET % "overrides(first: 1) { nodes { %s } }",
        ENTITY % ("BudgetOverride", "id", "$override", "BudgetOverride"),
    ],
    "BudgetOverrideConnection": [BUDGET % "overrides { %s }"],
    "BudgetOverrideEdge": [BUDGET % "overrides { edges { %s } }"],
    "Warrant": [OVERRIDE % "warrant { %s }"],
    "DpQueries": [
        DATASET % "dp { %s }",
        ENTITY % ("Dataset", "id", "$dataset", "Dataset") % "dp { %s }",
    ],
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
BUDGET_ARGUMENTS = {
    "Query.budgetOverride": '(id: "$override")',
    "DpQueries.sum": '(column: "age")',
    "DpQueries.mean": '(column: "age")',
    "DpQueries.variance": '(column: "age")',
    "DpQueries.quantile": '(column: "age", q: 0.5)',
    "DpQueries.histogram": '(column: "age", bins: [0, 120])',
    **{f"Mutation.{name}": arguments for name, arguments in _MUTATIONS.items()},
}
