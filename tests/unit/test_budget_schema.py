"""The published shape of privacy budgets, and the price that stands on each query."""

import re

import pytest

from tests.unit.test_schema import PUBLISHED, shape

SHAPE = """
type BudgetPolicy {
  accountant: DpAccountant! window: BudgetWindow! epsilonLimit: Epsilon! lifetimeLimit: Epsilon
  maxEpsilonPerOperation: Epsilon effectiveFrom: DateTime!
}
enum DpAccountant { PURE_EPSILON }
enum BudgetWindow { DAY WEEK MONTH QUARTER }
type PrivacyBudget {
  id: ID! tenant: Tenant accountant: DpAccountant! windowStart: DateTime! windowEnd: DateTime!
  epsilonLimit: Epsilon! epsilonSpent: Epsilon! epsilonReserved: Epsilon!
  epsilonRemaining: Epsilon! remainingRatio: Float! lifetimeLimit: Epsilon
  lifetimeRemaining: Epsilon accountantHash: Digest!
  spends(first: Int! = 50, after: String): DpSpendConnection
  overrides(first: Int! = 20, after: String): BudgetOverrideConnection
}
type DpSpend {
  id: ID! sequence: Int! epsilon: Epsilon! query: DpQueryKind! mechanism: DpMechanism!
  state: DpSpendState! dataset: Dataset actor: String! at: DateTime! entry: String!
  chainHash: Digest!
}
enum DpSpendState { RESERVED COMMITTED FORFEITED }
type BudgetOverride {
  id: ID! epsilon: Epsilon! warrant: Warrant! state: RequestState! requestDigest: Digest!
  approvals: [Approval!]! approvalsNeeded: Int! rejection: Rejection createdAt: DateTime!
  events(first: Int! = 20, after: String): LedgerEventConnection
}
type Warrant {
  reference: String! issuedBy: String! issuedAt: DateTime! expiresAt: DateTime!
  documentDigest: Digest!
}
type DpQueries {
  count(where: [DpPredicate!], epsilon: Epsilon): DpNumber
  distinctCount(where: [DpPredicate!], epsilon: Epsilon): DpNumber
  sum(column: String!, where: [DpPredicate!], epsilon: Epsilon): DpNumber
  mean(column: String!, where: [DpPredicate!], epsilon: Epsilon): DpNumber
  variance(column: String!, where: [DpPredicate!], epsilon: Epsilon): DpNumber
  quantile(column: String!, q: Float!, where: [DpPredicate!], epsilon: Epsilon): DpNumber
  histogram(
    column: String!, bins: [Float!], where: [DpPredicate!], epsilon: Epsilon
  ): DpHistogram
}
input DpPredicate { column: String! op: DpOperator! value: String values: [String!] }
enum DpOperator { EQ NE LT LE GT GE IN }
interface DpRelease {
  epsilon: Epsilon! epsilonCharged: Epsilon! mechanism: DpMechanism! scales: [Float!]!
  bound95: Float cached: Boolean! datasetVersion: String! spend: DpSpend
}
type DpNumber implements DpRelease {
  value: Float epsilon: Epsilon! epsilonCharged: Epsilon! mechanism: DpMechanism!
  scales: [Float!]! bound95: Float cached: Boolean! datasetVersion: String! spend: DpSpend
}
type DpHistogram implements DpRelease {
  cells: [DpCell!]! epsilon: Epsilon! epsilonCharged: Epsilon! mechanism: DpMechanism!
  scales: [Float!]! bound95: Float cached: Boolean! datasetVersion: String! spend: DpSpend
}
type DpCell { key: String! value: Float! }
type DpEstimate {
  epsilon: Epsilon! decision: DpDecision! remainingAfter: Epsilon earliestAt: DateTime
  releases: [DpEstimatedRelease!]!
}
type DpEstimatedRelease {
  path: String! count: Int! epsilon: Epsilon! mechanism: DpMechanism! scales: [Float!]!
  bound95: Float cached: Boolean!
}
enum DpDecision { ALLOW QUEUE DENY }
enum DpQueryKind { COUNT DISTINCT_COUNT SUM MEAN VARIANCE HISTOGRAM QUANTILE }
enum DpMechanism { DISCRETE_LAPLACE EXPONENTIAL }
input BudgetPolicyInput {
  accountant: DpAccountant! = PURE_EPSILON window: BudgetWindow! = MONTH epsilonLimit: Epsilon!
  lifetimeLimit: Epsilon maxEpsilonPerOperation: Epsilon
}
input BudgetOverrideInput { epsilon: Epsilon! warrant: WarrantInput! }
input WarrantInput {
  reference: String! issuedBy: String! issuedAt: DateTime! expiresAt: DateTime!
  documentDigest: Digest!
}
type SetBudgetPolicyPayload {
  policy: BudgetPolicy budget: PrivacyBudget userErrors: [GovernanceError!]!
}
type RequestBudgetOverridePayload { override: BudgetOverride userErrors: [GovernanceError!]! }
type ApproveBudgetOverridePayload { override: BudgetOverride userErrors: [GovernanceError!]! }
type RejectBudgetOverridePayload { override: BudgetOverride userErrors: [GovernanceError!]! }
type PublishDatasetVersionPayload { dataset: Dataset userErrors: [GovernanceError!]! }
scalar Epsilon
"""
PARTS = """
type Query {
  budgetOverride(id: ID!): BudgetOverride
  dpEstimate(
    persistedQueryId: ID, document: String, operationName: String, variables: JSON
  ): DpEstimate
}
type Tenant {
  budgetPolicy: BudgetPolicy
  privacyBudget: PrivacyBudget
  privacyBudgets(first: Int! = 12, after: String): PrivacyBudgetConnection
}
type Dataset { dp: DpQueries }
type Mutation {
  setBudgetPolicy(tenantId: ID!, input: BudgetPolicyInput!): SetBudgetPolicyPayload
  requestBudgetOverride(
    tenantId: ID!, input: BudgetOverrideInput!, idempotencyKey: String!
  ): RequestBudgetOverridePayload
  approveBudgetOverride(id: ID!, requestDigest: Digest!): ApproveBudgetOverridePayload
  rejectBudgetOverride(id: ID!, reason: String!): RejectBudgetOverridePayload
  publishDatasetVersion(id: ID!, version: String!): PublishDatasetVersionPayload
}
"""
PRICES = {
    "count": ("0.1", "DISCRETE_LAPLACE", "COUNT"),
    "distinctCount": ("0.1", "DISCRETE_LAPLACE", "DISTINCT_COUNT"),
    "sum": ("0.1", "DISCRETE_LAPLACE", "SUM"),
    "mean": ("0.2", "DISCRETE_LAPLACE", "MEAN"),
    "variance": ("0.3", "DISCRETE_LAPLACE", "VARIANCE"),
    "quantile": ("0.2", "EXPONENTIAL", "QUANTILE"),
    "histogram": ("0.1", "DISCRETE_LAPLACE", "HISTOGRAM"),
}
EXPECTED, ADDED, FOUND = shape(SHAPE), shape(PARTS), shape(PUBLISHED)


@pytest.mark.parametrize("element", sorted(EXPECTED))
def test_element_has_the_shape_that_clients_are_built_against(element: str) -> None:
    assert FOUND.get(element) == EXPECTED[element]


@pytest.mark.parametrize("element", sorted(ADDED))
def test_type_has_the_fields_of_budgets(element: str) -> None:
    assert set(ADDED[element]) <= set(FOUND[element])


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
