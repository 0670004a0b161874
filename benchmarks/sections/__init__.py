"""The sections beside the operations, by the name under which `SECTIONS` chooses them."""

from collections.abc import Mapping

from benchmarks.sections import keys, ledger
from benchmarks.sections.contract import Section

OPERATIONS = "operations"
"""The comparison of the arms over GraphQL, which needs servers of its own."""

SECTIONS: Mapping[str, Section] = {"ledger": ledger.measure, "keys": keys.measure}


def chosen(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names in `SECTIONS`, separated by commas; all of them where it is not set.

    ValueError for a name that is none.
    """
    known = (OPERATIONS, *SECTIONS)
    named = environ.get("SECTIONS", "").replace(" ", "")
    if not named:
        return known
    wanted = named.split(",")
    if unknown := sorted(set(wanted) - set(known)):
        raise ValueError(f"SECTIONS: {', '.join(unknown)}: known are {', '.join(known)}")
    return tuple(name for name in known if name in wanted)
