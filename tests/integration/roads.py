"""The ways to every object type of the schema."""

from tests.integration.budget_roads import BUDGET_ARGUMENTS, BUDGET_ROADS
from tests.integration.key_roads import KEY_ARGUMENTS, KEY_ROADS, MORE_ROADS
from tests.integration.templates import (
    DATASET,
    DATASETS,
    ENTITY,
    EVENTS,
    KEYS,
    NEW_DATASET,
    NEW_TENANT,
    TENANT,
)

# How each type is reached. A new type fails the suite until a road to it stands here.
_ROADS = {
    "Query": ["{ %s }"],
    "Mutation": ["mutation { %s }"],
    "_Service": ["{ _service { %s } }"],
    "Caller": ["{ caller { %s } }"],
    "ClientIdentity": ["{ caller { client { %s } } }"],
    "Tenant": [
        TENANT,
        ENTITY % ("Tenant", "id", "$tenant", "Tenant"),
        "{ caller { tenant { %s } } }",
        DATASET % "tenant { %s }",
        NEW_TENANT % "Test" % "tenant { %s }",
    ],
    "Region": [
        ENTITY % ("Region", "code", "$region", "Region"),
        TENANT % "homeRegion { %s }",
        TENANT % "allowedRegions { %s }",
        DATASET % "region { %s }",
    ],
    "Dataset": [
        DATASET,
        ENTITY % ("Dataset", "id", "$dataset", "Dataset"),
        DATASETS % "nodes { %s }",
        DATASETS % "edges { node { %s } }",
        NEW_DATASET % "dataset { %s }",
    ],
    "DatasetColumn": [DATASET % "columns { %s }"],
    "DatasetConnection": [DATASETS],
    "DatasetEdge": [DATASETS % "edges { %s }"],
    "PageInfo": [
        DATASETS % "pageInfo { %s }",
        "{ deprecations { pageInfo { %s } } }",
        EVENTS % "pageInfo { %s }",
        KEYS % "pageInfo { %s }",
    ],
    "Deprecation": [
        "{ deprecations { nodes { %s } } }",
        ENTITY % ("Deprecation", "id", "DEP-2026-001", "Deprecation"),
    ],
    "DeprecationConnection": ["{ deprecations { %s } }"],
    "DeprecationEdge": ["{ deprecations { edges { %s } } }"],
    "RegisterTenantPayload": [NEW_TENANT % "Test"],
    "RegisterDatasetPayload": [NEW_DATASET],
    "Ledger": [TENANT % "ledger { %s }", "{ deploymentLedger { %s } }"],
    "LedgerEvent": [
        TENANT % 'ledger { event(id: "$event") { %s } }',
        ENTITY % ("LedgerEvent", "id", "$event", "LedgerEvent"),
        EVENTS % "nodes { %s }",
        EVENTS % "edges { node { %s } }",
        "{ deploymentLedger { events(first: 1) { nodes { %s } } } }",
    ],
    "LedgerEventConnection": [EVENTS, "{ deploymentLedger { events { %s } } }"],
    "LedgerEventEdge": [EVENTS % "edges { %s }"],
    "Signature": [
        EVENTS % "nodes { signature { %s } }",
        ENTITY % ("LedgerEvent", "id", "$event", "LedgerEvent") % "signature { %s }",
    ],
    "InclusionProof": [
        EVENTS % "nodes { inclusion { %s } }",
        ENTITY % ("LedgerEvent", "id", "$event", "LedgerEvent") % "inclusion { %s }",
    ],
    "Checkpoint": [
        TENANT % "ledger { checkpoint { %s } }",
        EVENTS % "nodes { inclusion { checkpoint { %s } } }",
        "{ deploymentLedger { checkpoint { %s } } }",
    ],
    "ConsistencyProof": [
        TENANT % 'ledger { consistency(fromSize: "0", toSize: "1") { %s } }',
        '{ deploymentLedger { consistency(fromSize: "0", toSize: "1") { %s } } }',
    ],
    "VerificationKey": [KEYS % "nodes { %s }", KEYS % "edges { node { %s } }"],
    "VerificationKeyConnection": [KEYS],
    "VerificationKeyEdge": [KEYS % "edges { %s }"],
    "InvalidInput": [NEW_TENANT % " " % "userErrors { ... on InvalidInput { %s } }"],
}
_ARGUMENTS = {
    "Query.tenant": '(id: "$tenant")',
    "Query._entities": '(representations: [{ __typename: "Tenant", id: "$tenant" }])',
    "Tenant.dataset": '(id: "$dataset")',
    "Ledger.event": '(id: "$event")',
    "Ledger.consistency": '(fromSize: "0", toSize: "1")',
    "Mutation.registerTenant": NEW_TENANT[len("mutation { registerTenant") : -len(" { %%s } }")]
    % "Test",
    "Mutation.registerDataset": NEW_DATASET[len("mutation { registerDataset") : -len(" { %s } }")],
}

ROADS = {
    name: [*_ROADS.get(name, ()), *KEY_ROADS.get(name, ()), *MORE_ROADS.get(name, ())]
    for name in {*_ROADS, *KEY_ROADS}
} | BUDGET_ROADS
ARGUMENTS = _ARGUMENTS | KEY_ARGUMENTS | BUDGET_ARGUMENTS
