"""`BlockedReason`."""

from subgraph.federation.access import AS_PARENT
from subgraph.federation.declare import attribute, object_type


@object_type(access=AS_PARENT)
class BlockedReason:
    """Why something does not go on."""

    code: str = attribute("A stable code.")
    message: str = attribute("What is wrong, for people.")
    subject: str | None = attribute("What it is about, where that is one thing.")
