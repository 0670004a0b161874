"""What the ledger says of a job."""

from subgraph.errors import JSONValue
from subgraph.keys.jobs.model import KeyJob
from subgraph.ledger.model import EventType, NewEvent


def about_job(kind: EventType, job: KeyJob, *, by: str, **said: JSONValue) -> NewEvent:
    """Something happened to a job; its counts travel along."""
    payload: dict[str, JSONValue] = {
        "jobId": str(job.job_id),
        "kind": job.kind.value,
        "total": str(job.total),
        "done": str(job.done),
        "superseded": str(job.superseded),
        "quarantined": str(job.quarantined),
        **said,
    }
    if job.object_type is not None:
        payload["objectType"] = job.object_type
    return NewEvent(kind, by, job.tenant_id, payload=payload)
