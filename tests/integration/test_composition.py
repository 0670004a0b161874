"""schema.graphql composes beside a neighbour, and its two directives reach the supergraph."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from graphql import (
    DirectiveDefinitionNode,
    DirectiveNode,
    DocumentNode,
    EnumTypeDefinitionNode,
    FieldDefinitionNode,
    ObjectTypeDefinitionNode,
    parse,
    value_from_ast_untyped,
)

from tests.integration import node

ALL = ["apollo", "hive", "cosmo"]
# Cosmo accepts @composeDirective and keeps none of the directives that it names.
KEEP_DIRECTIVES = ["apollo", "hive"]


def compose(governance: Path, neighbour: Path) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = node.run_json(
        "tests/node/compose.mjs", f"governance={governance}", f"neighbour={neighbour}"
    )
    return results


@pytest.fixture(scope="module")
def compositions() -> dict[str, dict[str, Any]]:
    return compose(node.SCHEMA, node.NEIGHBOUR_SCHEMA)


@pytest.fixture(scope="module")
def supergraphs(compositions: dict[str, dict[str, Any]]) -> dict[str, DocumentNode]:
    return {name: parse(result["supergraph"]) for name, result in compositions.items()}


@pytest.fixture(scope="module")
def deprecated_fields() -> list[dict[str, Any]]:
    records = yaml.safe_load((node.ROOT / "deprecations.yaml").read_text())["records"]
    return [record for record in records if "(" not in record["coordinate"]]


def directive_definition(document: DocumentNode, name: str) -> DirectiveDefinitionNode:
    return next(
        definition
        for definition in document.definitions
        if isinstance(definition, DirectiveDefinitionNode) and definition.name.value == name
    )


def field_definition(document: DocumentNode, coordinate: str) -> FieldDefinitionNode:
    type_name, field_name = coordinate.split(".")
    return next(
        field
        for definition in document.definitions
        if isinstance(definition, ObjectTypeDefinitionNode) and definition.name.value == type_name
        for field in definition.fields or ()
        if field.name.value == field_name
    )


def application(field: FieldDefinitionNode, name: str) -> dict[str, Any]:
    directive: DirectiveNode = next(
        directive for directive in field.directives or () if directive.name.value == name
    )
    return {
        argument.name.value: value_from_ast_untyped(argument.value)
        for argument in directive.arguments or ()
    }


@pytest.mark.parametrize("composer", ALL)
def test_composes_beside_the_neighbour(
    compositions: dict[str, dict[str, Any]], composer: str
) -> None:
    assert compositions[composer]["errors"] == []


@pytest.mark.parametrize("composer", ALL)
def test_a_neighbour_that_claims_our_field_is_refused(tmp_path: Path, composer: str) -> None:
    rival = tmp_path / "rival.graphql"
    rival.write_text(node.NEIGHBOUR_SCHEMA.read_text().replace("plan: String", "name: String"))
    assert compose(node.SCHEMA, rival)[composer]["errors"] != []


@pytest.mark.parametrize("composer", KEEP_DIRECTIVES)
def test_the_definition_of_dp_cost_reaches_the_supergraph(
    supergraphs: dict[str, DocumentNode], composer: str
) -> None:
    definition = directive_definition(supergraphs[composer], "dpCost")
    assert [argument.name.value for argument in definition.arguments or ()] == [
        "epsilon",
        "epsilonArgument",
        "minEpsilon",
        "maxEpsilon",
        "delta",
        "mechanisms",
        "query",
    ]


@pytest.mark.parametrize("composer", ALL)
@pytest.mark.parametrize("enum", ["DpMechanism", "DpQueryKind"])
def test_the_argument_types_of_dp_cost_reach_the_supergraph(
    supergraphs: dict[str, DocumentNode], composer: str, enum: str
) -> None:
    enums = {
        definition.name.value
        for definition in supergraphs[composer].definitions
        if isinstance(definition, EnumTypeDefinitionNode)
    }
    assert enum in enums


@pytest.mark.parametrize("composer", KEEP_DIRECTIVES)
def test_every_application_of_dp_cost_reaches_the_supergraph(
    supergraphs: dict[str, DocumentNode], composer: str
) -> None:
    assert priced(supergraphs[composer]) == priced(parse(node.SCHEMA.read_text()))


@pytest.mark.parametrize("composer", KEEP_DIRECTIVES)
def test_the_definition_of_deprecated_reaches_the_supergraph(
    supergraphs: dict[str, DocumentNode], composer: str
) -> None:
    definition = directive_definition(supergraphs[composer], "governance__deprecated")
    assert {location.value for location in definition.locations} == {
        "FIELD_DEFINITION",
        "ARGUMENT_DEFINITION",
        "INPUT_FIELD_DEFINITION",
        "ENUM_VALUE",
    }


@pytest.mark.parametrize("composer", KEEP_DIRECTIVES)
def test_the_end_of_a_deprecated_field_reaches_the_supergraph(
    supergraphs: dict[str, DocumentNode], deprecated_fields: list[dict[str, Any]], composer: str
) -> None:
    seen = {
        record["id"]: application(
            field_definition(supergraphs[composer], record["coordinate"]), "governance__deprecated"
        )
        for record in deprecated_fields
    }
    assert {identity: (found["id"], found["until"]) for identity, found in seen.items()} == {
        record["id"]: (record["id"], str(record["until"])) for record in deprecated_fields
    }


@pytest.mark.parametrize("composer", ALL)
def test_the_standard_deprecation_names_its_end(
    supergraphs: dict[str, DocumentNode], deprecated_fields: list[dict[str, Any]], composer: str
) -> None:
    for record in deprecated_fields:
        field = field_definition(supergraphs[composer], record["coordinate"])
        assert f"until {record['until']}" in application(field, "deprecated")["reason"]


def priced(document: DocumentNode) -> dict[str, dict[str, Any]]:
    return {
        f"{definition.name.value}.{field.name.value}": application(field, "dpCost")
        for definition in document.definitions
        if isinstance(definition, ObjectTypeDefinitionNode)
        for field in definition.fields or ()
        if any(directive.name.value == "dpCost" for directive in field.directives or ())
    }
