"""The ways to the fields of keys, jobs, records and requests."""

from tests.integration.templates import ENTITY, TENANT

CMK = TENANT % "cmk { %s }"
VERSION = ENTITY % ("KeyVersion", "id", "$version", "KeyVersion")
DESTRUCTION = ENTITY % ("KeyDestruction", "id", "$destruction", "KeyDestruction")
JOB = '{ keyJob(id: "$job") { %s } }'
RECORD = TENANT % 'record(id: "$record") { %s }'
RECORDS = TENANT % "records(first: 1) { %s }"
QUARANTINED = '{ keyJob(id: "$ended") { quarantined(first: 1) { %s } } }'
GLASS = '{ breakGlassRequest(id: "$glass") { %s } }'
REQUESTS = TENANT % "breakGlassRequests(first: 1) { %s }"

# A repeat of what made the world: it is answered and changes nothing.
ATTACH = (
    '(tenantId: "$tenant", input: { provider: LOCAL, keyUri: "local:main" },'
    ' idempotencyKey: "attach")'
)
REENCRYPT = '(tenantId: "$tenant", throttlePerSecond: 100, idempotencyKey: "job")'
DESTROY = '(keyVersionId: "$retired", reason: "$why", idempotencyKey: "destruction")'
PUT = (
    '(tenantId: "$tenant", input: { objectType: "person", externalId: "ada",'
    ' fields: [{ name: "name", value: "Ada" }] }, idempotencyKey: "record")'
)
REQUEST = (
    '(tenantId: "$tenant", input: { reasonCode: INCIDENT, justification: "$why",'
    ' scope: { objectType: "person", recordIds: ["$record"], fields: ["name"] } },'
    ' idempotencyKey: "pending")'
)
OPEN = '(id: "$glass", idempotencyKey: "open")'
# Refused, and answered with the reason: the world stays as it is.
TURN = '(tenantId: "$tenant", reason: " ")'
PLAN = '(tenantId: "$tenant", idempotencyKey: "another")'
ENDED = '(id: "$ended")'
APPROVE_DESTRUCTION = '(id: "$destruction", requestDigest: "$digest")'
APPROVE = '(id: "$pending", requestDigest: "$digest")'
REJECT = '(id: "$pending", reason: "$why")'
UNAPPROVED = '(id: "$pending", idempotencyKey: "open")'
ELSEWHERE = (
    '(tenantId: "$tenant", input: { provider: AWS_KMS, keyUri: "x" }, idempotencyKey: "elsewhere")'
)
# For good, on things that are there to be ended.
DELETE = '(id: "$spare")'
CLOSE = '(id: "$withdrawn")'

MUTATIONS = {
    "attachKey": ATTACH,
    "suspendKey": TURN,
    "resumeKey": TURN,
    "rotateKey": PLAN,
    "rewrapKey": PLAN,
    "reencryptRecords": REENCRYPT,
    "pauseKeyJob": '(id: "$job")',
    "resumeKeyJob": '(id: "$job")',
    "cancelKeyJob": ENDED,
    "requestKeyDestruction": DESTROY,
    "approveKeyDestruction": APPROVE_DESTRUCTION,
    "putRecord": PUT,
    "deleteRecord": DELETE,
    "requestBreakGlass": REQUEST,
    "approveBreakGlass": APPROVE,
    "rejectBreakGlass": REJECT,
    "openBreakGlass": OPEN,
    "closeBreakGlass": CLOSE,
}


def does(mutation: str, arguments: str | None = None) -> str:
    """The road to the payload of a mutation."""
    return f"mutation {{ {mutation}{arguments or MUTATIONS[mutation]} {{ %s }} }}"


OPENED = does("openBreakGlass") % "records(first: 1) { %s }"

KEY_ROADS = {
    **{f"{name[0].upper()}{name[1:]}Payload": [does(name)] for name in MUTATIONS},
    "CustomerManagedKey": [
        CMK,
        ENTITY % ("CustomerManagedKey", "id", "$key", "CustomerManagedKey"),
        does("attachKey") % "key { %s }",
    ],
    "KeyVersion": [
        VERSION,
        CMK % "currentVersion { %s }",
        CMK % "versions(first: 1) { nodes { %s } }",
        CMK % "versions(first: 1) { edges { node { %s } } }",
        RECORD % "keyVersion { %s }",
        DESTRUCTION % "keyVersion { %s }",
    ],
    "KeyVersionConnection": [CMK % "versions(first: 1) { %s }"],
    "KeyVersionEdge": [CMK % "versions(first: 1) { edges { %s } }"],
    "KeyDestruction": [DESTRUCTION, does("requestKeyDestruction") % "destruction { %s }"],
    "KeyJob": [
        JOB,
        ENTITY % ("KeyJob", "id", "$job", "KeyJob"),
        TENANT % "keyJobs(first: 1) { nodes { %s } }",
        TENANT % "keyJobs(first: 1) { edges { node { %s } } }",
        does("reencryptRecords") % "job { %s }",
        does("pauseKeyJob") % "job { %s }",
        does("resumeKeyJob") % "job { %s }",
    ],
    "KeyJobConnection": [TENANT % "keyJobs(first: 1) { %s }"],
    "KeyJobEdge": [TENANT % "keyJobs(first: 1) { edges { %s } }"],
    "KeyJobProgress": [
        JOB % "progress { %s }",
        does("reencryptRecords") % "job { progress { %s } }",
    ],
    "BlockedReason": [JOB % "blockedReason { %s }"],
    "QuarantinedRecord": [
        QUARANTINED % "nodes { %s }",
        QUARANTINED % "edges { node { %s } }",
    ],
    "QuarantinedRecordConnection": [QUARANTINED],
    "QuarantinedRecordEdge": [QUARANTINED % "edges { %s }"],
    "ProtectedRecord": [
        RECORD,
        ENTITY % ("ProtectedRecord", "id", "$record", "ProtectedRecord"),
        RECORDS % "nodes { %s }",
        RECORDS % "edges { node { %s } }",
        does("putRecord") % "record { %s }",
        QUARANTINED % "nodes { record { %s } }",
        OPENED % "nodes { %s }",
        OPENED % "edges { node { %s } }",
    ],
    "ProtectedRecordConnection": [RECORDS, OPENED],
    "ProtectedRecordEdge": [RECORDS % "edges { %s }", OPENED % "edges { %s }"],
    "ProtectedField": [
        RECORD % "fields { %s }",
        RECORD % 'field(name: "name") { %s }',
        RECORDS % "nodes { fields { %s } }",
        ENTITY % ("ProtectedRecord", "id", "$record", "ProtectedRecord") % "fields { %s }",
        does("putRecord") % "record { fields { %s } }",
        OPENED % "nodes { fields { %s } }",
        OPENED % 'nodes { field(name: "name") { %s } }',
    ],
    "BreakGlassRequest": [
        GLASS,
        ENTITY % ("BreakGlassRequest", "id", "$glass", "BreakGlassRequest"),
        REQUESTS % "nodes { %s }",
        REQUESTS % "edges { node { %s } }",
        does("requestBreakGlass") % "request { %s }",
        does("openBreakGlass") % "request { %s }",
        does("closeBreakGlass") % "request { %s }",
    ],
    "BreakGlassRequestConnection": [REQUESTS],
    "BreakGlassRequestEdge": [REQUESTS % "edges { %s }"],
    "BreakGlassScope": [GLASS % "scope { %s }"],
    "Approval": [GLASS % "approvals { %s }", DESTRUCTION % "approvals { %s }"],
    "Rejection": ['{ breakGlassRequest(id: "$refused") { rejection { %s } } }'],
    "KeyUnavailable": [
        does("attachKey", ELSEWHERE) % "userErrors { ... on KeyUnavailable { %s } }"
    ],
    "DualControlRequired": [
        does("openBreakGlass", UNAPPROVED) % "userErrors { ... on DualControlRequired { %s } }"
    ],
}
"""How each type is reached."""

MORE_ROADS = {
    "Tenant": [CMK % "tenant { %s }", JOB % "tenant { %s }", GLASS % "tenant { %s }"],
    "LedgerEvent": [
        holder % "events(first: 1) { nodes { %s } }" for holder in (CMK, VERSION, JOB, GLASS)
    ],
    "LedgerEventConnection": [
        holder % "events(first: 1) { %s }" for holder in (CMK, VERSION, JOB, GLASS)
    ],
    "Signature": [GLASS % "approvals { signature { %s } }"],
    "PageInfo": [
        holder % "pageInfo { %s }"
        for holder in (CMK % "versions { %s }", QUARANTINED, RECORDS, OPENED, REQUESTS)
    ],
    "InvalidInput": [
        does(name) % "userErrors { ... on InvalidInput { %s } }"
        for name in ("suspendKey", "rotateKey", "approveKeyDestruction", "approveBreakGlass")
    ],
}
"""Further ways to types that the rest of the schema has too."""

KEY_ARGUMENTS = {
    "Query.keyJob": '(id: "$job")',
    "Query.breakGlassRequest": '(id: "$glass")',
    "Tenant.record": '(id: "$record")',
    "ProtectedRecord.field": '(name: "name")',
    **{f"Mutation.{name}": arguments for name, arguments in MUTATIONS.items()},
}
