"""The published schema: its shape, and the documents that it is published as."""

import subprocess
import sys
from pathlib import Path

import pytest
from graphql import (
    GraphQLSchema,
    build_schema,
    get_introspection_query,
    graphql_sync,
    parse,
    print_ast,
)
from graphql.language import (
    DirectiveDefinitionNode,
    EnumTypeDefinitionNode,
    EnumValueDefinitionNode,
    FieldDefinitionNode,
    InputObjectTypeDefinitionNode,
    InputValueDefinitionNode,
    InterfaceTypeDefinitionNode,
    Node,
    ObjectTypeDefinitionNode,
    Visitor,
    visit,
)

from subgraph import schema
from subgraph.deprecations import policy_file
from subgraph.federation import lint
from subgraph.federation.schema import GovernanceSchema
from subgraph.federation.sdl import contract_document
from tests.conftest import Api

ROOT = Path(__file__).parents[2]
PUBLISHED = (ROOT / "schema.graphql").read_text(encoding="utf-8")

# What clients and other subgraphs are built against. A change there breaks them.
SHAPE = (Path(__file__).parent / "schema_shape.graphql").read_text(encoding="utf-8")


def shape(document: str) -> dict[str, list[str]]:
    """What clients depend on of each definition: no descriptions, order or applied directives."""
    return {
        f"{node.kind} {node.name.value}": sorted(map(_bare, _members(node)))
        for node in parse(document, no_location=True).definitions
        if hasattr(node, "name")
    }


def _members(node) -> list[Node]:
    lists = ("fields", "values", "arguments", "interfaces", "locations")
    return [member for name in lists for member in getattr(node, name, None) or ()]


def _bare(node: Node) -> str:
    if isinstance(node, FieldDefinitionNode):
        arguments = ", ".join(map(_bare, node.arguments or ()))
        return f"{node.name.value}({arguments}): {print_ast(node.type)}"
    if isinstance(node, InputValueDefinitionNode):
        default = "" if node.default_value is None else f" = {print_ast(node.default_value)}"
        return f"{node.name.value}: {print_ast(node.type)}{default}"
    return node.name.value if isinstance(node, EnumValueDefinitionNode) else print_ast(node)


EXPECTED = shape(SHAPE)


@pytest.fixture(scope="module")
def built() -> GovernanceSchema:
    return schema.build(policy_file.load(policy_file.default_path()))


@pytest.fixture(scope="module")
def contract(built: GovernanceSchema) -> str:
    return contract_document(built.sdl)


@pytest.fixture(scope="module")
def contract_schema(contract: str) -> GraphQLSchema:
    # Federation's own directives are the composer's business.
    return build_schema(contract, assume_valid_sdl=True)


@pytest.mark.parametrize("element", sorted(EXPECTED))
def test_element_has_the_shape_that_clients_are_built_against(element: str) -> None:
    assert shape(PUBLISHED).get(element) == EXPECTED[element]


def test_nothing_else_is_published() -> None:
    assert sorted(shape(PUBLISHED)) == sorted(EXPECTED)


def test_committed_document_is_what_the_code_makes(built: GovernanceSchema) -> None:
    assert built.sdl == PUBLISHED


async def test_served_document_is_the_committed_one(api: Api) -> None:
    answer = await api.ask("{ _service { sdl } }")
    assert answer == {"data": {"_service": {"sdl": PUBLISHED}}}


@pytest.mark.parametrize("dialect", ["federation", "contract"])
def test_command_prints_the_document(dialect: str, contract: str) -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "subgraph.cli.main", "sdl", "--dialect", dialect],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout
    assert printed == (PUBLISHED if dialect == "federation" else contract)


def test_schema_keeps_every_rule_of_the_house(built: GovernanceSchema) -> None:
    assert lint.findings(built) == []


def test_federation_and_governance_are_linked_as_composers_accept_it() -> None:
    assert PUBLISHED.startswith(
        "extend schema\n"
        '  @link(url: "https://specs.apollo.dev/federation/v2.9", import: [\n'
        '    "@key", "@shareable", "@composeDirective", "@authenticated", "@requiresScopes",'
        ' "@cost", "@listSize"])\n'
        '  @link(url: "https://specs.intelgraph.dev/governance/v1.0", import: [\n'
        '    "@dpCost", {name: "@deprecated", as: "@governance__deprecated"}])\n'
        '  @composeDirective(name: "@dpCost")\n'
        '  @composeDirective(name: "@governance__deprecated")\n'
    )


def test_deprecated_field_carries_both_directives() -> None:
    (line,) = [line for line in PUBLISHED.splitlines() if line.startswith("  displayName: String ")]
    assert line == (
        '  displayName: String @deprecated(reason: "The same value as Tenant.name, under the name'
        ' that the first portal used. Works until 2027-03-31. Use Tenant.name.")'
        ' @governance__deprecated(id: "DEP-2026-001", since: "2026-11-23", until: "2027-03-31",'
        ' grace: "P30D", replacement: "Tenant.name")'
    )


def test_contract_names_the_date_in_the_directive_itself(contract: str) -> None:
    (line,) = [line for line in contract.splitlines() if line.startswith("  displayName: String ")]
    assert line.endswith('Use Tenant.name.", until: "2027-03-31")')


def test_contract_defines_the_directive_with_its_date(contract: str) -> None:
    assert contract.startswith(
        'directive @deprecated(reason: String! = "No longer supported", until: Date) on'
        " FIELD_DEFINITION | ARGUMENT_DEFINITION | INPUT_FIELD_DEFINITION | ENUM_VALUE\n"
    )


@pytest.mark.parametrize("machinery", ["@link", "@composeDirective", "governance__", "scalar ID"])
def test_contract_has_no_composition_machinery(contract: str, machinery: str) -> None:
    assert machinery not in contract


def test_contract_is_a_schema_for_standard_tools(contract_schema: GraphQLSchema) -> None:
    field = contract_schema.get_type("Tenant").fields["displayName"]
    assert "2027-03-31" in field.deprecation_reason


def test_contract_has_the_elements_of_the_federation_document(contract: str) -> None:
    named = set(shape(contract)) - {"directive_definition deprecated"}
    left_out = {"scalar_type_definition ID", "directive_definition governance__deprecated"}
    assert named == set(EXPECTED) - left_out


async def test_introspection_shows_the_deprecation_and_its_date(api: Api) -> None:
    answer = await api.ask(
        '{ __type(name: "Tenant") { fields(includeDeprecated: true)'
        " { name isDeprecated deprecationReason } } }"
    )
    fields = {field["name"]: field for field in answer["data"]["__type"]["fields"]}
    assert fields["displayName"]["isDeprecated"]
    assert "2027-03-31" in fields["displayName"]["deprecationReason"]


async def test_introspection_leaves_deprecated_fields_out_unless_asked(api: Api) -> None:
    answer = await api.ask('{ __type(name: "Tenant") { fields { name } } }')
    assert "displayName" not in [field["name"] for field in answer["data"]["__type"]["fields"]]


def test_schema_answers_the_introspection_of_standard_tools(built: GovernanceSchema) -> None:
    answer = graphql_sync(built.core, get_introspection_query())
    assert answer.errors is None


def test_every_element_of_the_documents_is_described() -> None:
    described = (
        ObjectTypeDefinitionNode
        | InterfaceTypeDefinitionNode
        | InputObjectTypeDefinitionNode
        | EnumTypeDefinitionNode
        | DirectiveDefinitionNode
        | FieldDefinitionNode
    )
    bare: list[str] = []

    class Silent(Visitor):
        def enter(self, node, *_):
            if isinstance(node, described) and node.description is None:
                bare.append(node.name.value)

    visit(parse(PUBLISHED), Silent())
    assert bare == []
