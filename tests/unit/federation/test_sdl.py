"""From the federation document to the contract document."""

from subgraph.federation.sdl import contract_document
from tests.unit.federation.schemas import Record, build


def contract(*records: Record) -> str:
    return contract_document(build(records=records).sdl)


def test_date_moves_into_the_standard_directive() -> None:
    record = Record("Query.item")
    assert (
        '@deprecated(reason: "It goes. Works until 2026-06-01.", until: "2026-06-01")'
        in contract(record)
    )


def test_other_directives_of_the_element_stay() -> None:
    assert "name: String! @deprecated" in contract(Record("Plain.name"))


def test_document_without_records_has_nothing_deprecated() -> None:
    assert contract().count("@deprecated") == 1
