"""The ways to every field of the schema, and what the published document asks for on them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from graphql import (
    GraphQLObjectType,
    GraphQLSchema,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    build_schema,
    get_named_type,
    is_composite_type,
    is_required_argument,
    parse,
    visit,
)

from subgraph import schema
from subgraph.deprecations import policy_file
from tests.integration import budget_roads

AUTHENTICATED = "authenticated"
PUBLISHED = build_schema(
    (Path(__file__).parents[2] / "schema.graphql").read_text(encoding="utf-8"),
    assume_valid=True,
)
SERVED: GraphQLSchema = schema.build(policy_file.load(policy_file.default_path())).core

TENANT = '{ tenant(id: "$tenant") { %s } }'
DATASET = '{ tenant(id: "$tenant") { dataset(id: "$dataset") { %s } } }'
DATASETS = '{ tenant(id: "$tenant") { datasets { %s } } }'
ENTITY = '{ _entities(representations: [{ __typename: "%s", %s: "%s" }]) { ... on %s { %%s } } }'
NEW_TENANT = (
    'mutation { registerTenant(input: { id: "$new", name: "%s", homeRegion: "$region",'
    ' allowedRegions: ["$region"] }) { %%s } }'
)
NEW_DATASET = (
    'mutation { registerDataset(tenantId: "$tenant", input: { slug: "visits", name: "Visits",'
    ' source: "$source", region: "$region", license: "CC-BY-4.0", licenseTextDigest: "$digest",'
    ' privacyUnit: "person", columns: [{ name: "age", kind: NUMBER, lower: 0, upper: 120 }] })'
    " { %s } }"
)

EVENTS = TENANT % "ledger { events(first: 1) { %s } }"
KEYS = "{ verificationKeys { %s } }"

# How each type is reached. A new type fails the suite until a road to it stands here.
ROADS = {
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
    **budget_roads.ROADS,
}
ARGUMENTS = {
    **budget_roads.ARGUMENTS,
    "Query.tenant": '(id: "$tenant")',
    "Query._entities": '(representations: [{ __typename: "Tenant", id: "$tenant" }])',
    "Tenant.dataset": '(id: "$dataset")',
    "Ledger.event": '(id: "$event")',
    "Ledger.consistency": '(fromSize: "0", toSize: "1")',
    "Mutation.registerTenant": NEW_TENANT[len("mutation { registerTenant") : -len(" { %%s } }")]
    % "Test",
    "Mutation.registerDataset": NEW_DATASET[len("mutation { registerDataset") : -len(" { %s } }")],
}


def questions(schema_: GraphQLSchema) -> Iterator[tuple[str, str]]:
    """Every field of every object type, with each of the operations that reach it."""
    for type_ in sorted(schema_.type_map.values(), key=lambda item: item.name):
        if not isinstance(type_, GraphQLObjectType) or type_.name.startswith("__"):
            continue
        assert type_.name in ROADS, f"no road leads to {type_.name}"
        for name, field in type_.fields.items():
            coordinate = f"{type_.name}.{name}"
            needs = any(is_required_argument(item) for item in field.args.values())
            assert needs == (coordinate in ARGUMENTS), f"{coordinate} takes other arguments"
            below = " { __typename }" if is_composite_type(get_named_type(field.type)) else ""
            selection = f"{name}{ARGUMENTS.get(coordinate, '')}{below}"
            for road in ROADS[type_.name]:
                yield coordinate, road % selection


def stated(element: Any) -> frozenset[str]:
    """What the directives on a definition of the published document ask for."""
    found = set()
    for directive in getattr(element.ast_node, "directives", None) or ():
        if directive.name.value == "authenticated":
            found.add(AUTHENTICATED)
        elif directive.name.value == "requiresScopes":
            ((scope,),) = [either.values for either in directive.arguments[0].value.values]
            found.add(scope.value)
    return frozenset(found)


class Asked(Visitor):
    """Gathers what the published document says that an operation takes."""

    def __init__(self) -> None:
        super().__init__()
        self.types = TypeInfo(SERVED)
        self.found: set[str] = set()

    def enter_field(self, node: Any, *_: Any) -> None:
        parent = PUBLISHED.get_type(self.types.get_parent_type().name)
        field = getattr(parent, "fields", {}).get(node.name.value)
        if field is not None:
            self.found |= stated(parent) | stated(field) | stated(get_named_type(field.type))

    def enter_inline_fragment(self, node: Any, *_: Any) -> None:
        self.found |= stated(PUBLISHED.get_type(node.type_condition.name.value))


def asked(operation: str) -> frozenset[str]:
    visitor = Asked()
    visit(parse(operation), TypeInfoVisitor(visitor.types, visitor))
    return frozenset(visitor.found)
