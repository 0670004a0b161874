"""What can be wrong with a registration."""

from subgraph.errors import InvalidField


class InvalidRegistration(InvalidField):
    """A field of a registration breaks a rule."""
