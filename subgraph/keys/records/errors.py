"""Refusals of records."""

from subgraph.errors import InvalidField


class InvalidRecord(InvalidField):
    """A field of a record breaks a rule."""
