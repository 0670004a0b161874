"""The stable error codes of the subgraph, and the one exception that carries them.

A code is a promise to clients: it appears in `extensions.code` of a GraphQL error, in the
`code` of a payload's `userErrors`, in the output of `ig`, and in `docs/errors.md`, which is
generated from this module. A code is never renamed or reused.
"""

from enum import Enum
from typing import TypeAlias

JSONValue: TypeAlias = "str | int | float | bool | list[JSONValue] | dict[str, JSONValue] | None"


class ErrorCode(Enum):
    """A stable code: its HTTP status when it refuses a whole request, its meaning, its remedy."""

    # --- the HTTP request
    BAD_REQUEST = (
        400,
        "The request is not a GraphQL request.",
        "Send `query`, `variables`, `operationName` and `extensions` with the types that GraphQL over HTTP names.",
    )
    MALFORMED_JSON = (
        400,
        "The body or a URL parameter is not valid JSON.",
        "Send one JSON text (RFC 8259); NaN, Infinity and lone surrogates are not JSON.",
    )
    DUPLICATE_KEY = (
        400,
        "A JSON object names a key twice.",
        "Name each key once; which of two values was meant cannot be known.",
    )
    INVALID_UTF8 = (400, "The body is not UTF-8.", "Encode the body as UTF-8.")
    NUMBER_OUT_OF_RANGE = (
        400,
        "A JSON number is too large to be represented.",
        "Send large integers as strings.",
    )
    NESTING_TOO_DEEP = (400, "The JSON is nested too deeply.", "Flatten the variables.")
    BODY_TIMEOUT = (408, "The body did not arrive in time.", "Send the whole body at once.")
    BODY_TOO_LARGE = (
        413,
        "The body exceeds the limit.",
        "Send less, or register the document and send its id.",
    )
    UNSUPPORTED_MEDIA_TYPE = (
        415,
        "The media type of the body is not supported.",
        "Send `Content-Type: application/json`.",
    )
    NOT_ACCEPTABLE = (
        406,
        "None of the accepted media types can be produced.",
        "Accept `application/graphql-response+json` or `application/json`.",
    )
    METHOD_NOT_ALLOWED = (405, "The method is not allowed here.", "Use POST, or GET for queries.")
    CSRF_REJECTED = (
        400,
        "A browser could have sent this request without asking its user.",
        "Send a header that browsers do not send by themselves, such as `x-apollo-operation-name` or `apollo-require-preflight`.",
    )
    BATCH_TOO_LARGE = (400, "The batch holds too many operations, or none.", "Split the batch.")
    NOT_FOUND = (
        404,
        "There is nothing at this address.",
        "See the README for the addresses that are served.",
    )

    # --- the document
    GRAPHQL_PARSE_FAILED = (
        400,
        "The document is not GraphQL.",
        "Mend the syntax at the named place.",
    )
    GRAPHQL_VALIDATION_FAILED = (
        400,
        "The document does not fit the schema.",
        "Compare it with `schema.graphql`.",
    )
    OPERATION_RESOLUTION_FAILED = (
        400,
        "No operation, or more than one, fits the request.",
        "Name one operation of the document in `operationName`.",
    )
    BAD_USER_INPUT = (
        400,
        "A variable or an argument has a value that its type does not allow.",
        "Send a value of the declared type.",
    )
    TOO_MANY_TOKENS = (400, "The document has too many tokens.", "Split the document.")
    DEPTH_LIMIT_EXCEEDED = (400, "The document is nested too deeply.", "Ask for fewer levels.")
    ALIAS_LIMIT_EXCEEDED = (400, "The document has too many aliases.", "Use fewer aliases.")
    DIRECTIVE_LIMIT_EXCEEDED = (
        400,
        "The document has too many directives.",
        "Use fewer directives.",
    )
    NODE_LIMIT_EXCEEDED = (400, "The answer could hold too many nodes.", "Ask for smaller pages.")
    COST_LIMIT_EXCEEDED = (
        400,
        "The operation costs more than the limit.",
        "Ask for smaller pages or fewer fields.",
    )
    TOO_MANY_REPRESENTATIONS = (
        400,
        "`_entities` was given too many representations.",
        "Split the list.",
    )
    INTROSPECTION_DISABLED = (
        400,
        "Introspection is off in production mode.",
        "Read `schema.graphql`.",
    )

    # --- who may
    UNAUTHENTICATED = (
        401,
        "The caller is not known: no token, or one that does not hold.",
        "Send a valid, unexpired token in `Authorization: Bearer`.",
    )
    FORBIDDEN = (
        403,
        "The caller is known, and may not do this.",
        "Ask for a token with the scope that the schema names.",
    )
    GATEWAY_REQUIRED = (403, "This deployment answers only to its gateway.", "Call the gateway.")
    KEY_SET_UNAVAILABLE = (
        503,
        "The keys that tokens are verified with cannot be fetched.",
        "Try again; the operator checks the JWKS address.",
    )
    POLICY_UNAVAILABLE = (
        503,
        "The policy decision point did not answer in time; nothing is allowed without it.",
        "Try again; the operator checks the policy service.",
    )

    # --- dual control
    DUAL_CONTROL_REQUIRED = (
        403,
        "Not enough other people have approved exactly this request.",
        "Have as many people approve it as it needs, none of them the requester.",
    )
    APPROVER_NOT_DISTINCT = (
        403,
        "The requester, or a token that has decided already, cannot decide here.",
        "Another person decides, with a token of their own.",
    )
    APPROVAL_DIGEST_MISMATCH = (
        409,
        "The request is not the one that the digest is of.",
        "Read the request again, and approve the digest that it has if that is what is meant.",
    )
    REQUEST_NOT_OPEN = (
        409,
        "The request is decided, or was withdrawn.",
        "Make another request if it is still needed.",
    )
    REQUEST_EXPIRED = (
        409,
        "The time in which the request could be approved and used is over.",
        "Make another request.",
    )
    GRANT_CONSUMED = (
        409,
        "What was approved has been used; it can be used once.",
        "Make another request.",
    )
    BREAK_GLASS_CLOSED = (
        403,
        "The break-glass session is not open, or no longer.",
        "Make another request.",
    )
    BREAK_GLASS_OUT_OF_SCOPE = (
        403,
        "A value was asked for that the break-glass request does not name.",
        "Ask for what was approved, or make another request.",
    )

    # --- data
    INVALID_ID = (
        400,
        "The id was not made by this service, or is of another type.",
        "Send an id as it was received.",
    )
    INVALID_CURSOR = (
        400,
        "The cursor was not made by this service for this list.",
        "Send a cursor as it was received, to the same list of the same tenant.",
    )
    INVALID_INPUT = (400, "A value breaks a rule of this service.", "Mend the named field.")
    UNKNOWN_OBJECT = (
        404,
        "There is no such object, or the caller may not see it.",
        "Check the id, and that the token is of the object's tenant.",
    )
    ALREADY_EXISTS = (
        409,
        "Something with this identity exists already.",
        "Choose another identity, or read the existing one.",
    )
    IDEMPOTENCY_CONFLICT = (
        409,
        "The idempotency key was used for another input.",
        "Send a new key with a new input, and the same key only to repeat.",
    )
    UNKNOWN_REGION = (
        400,
        "The region is not in the registry.",
        "Use a code that `ig regions` lists.",
    )
    UNKNOWN_SOURCE = (
        400,
        "The source is not one that the operator provisioned for this tenant.",
        "Ask the operator to provision it.",
    )

    LEDGER_INVALID = (
        422,
        "A ledger, or something that is to prove a part of it, does not verify.",
        "The finding names what is wrong; docs/ledger.md explains it.",
    )

    # --- privacy budgets
    BUDGET_NOT_SET = (
        409,
        "The tenant has no budget policy, so nothing can be spent.",
        "Set a policy with `setBudgetPolicy`.",
    )
    DP_BUDGET_EXHAUSTED = (
        409,
        "What is left of the privacy budget does not cover the operation.",
        "Ask for less epsilon, wait for `resetsAt`, queue the operation, or request an override.",
    )
    EPSILON_OVER_OPERATION_LIMIT = (
        400,
        "The operation costs more epsilon than the policy allows one operation.",
        "Split the operation, or ask for less epsilon.",
    )
    RELEASE_PENDING = (
        409,
        "Another operation has paid for this very answer and is about to store it.",
        "Look the release up again.",
    )
    RESERVATION_LOST = (
        409,
        "The reservation is held by somebody else, or was forfeited.",
        "Look the release up; reserve again under a new idempotency key if there is none.",
    )
    TICKET_LOST = (
        409,
        "The ticket is not in a state in which this can be done, or somebody else has claimed it.",
        "Read the ticket.",
    )
    PERSISTED_QUERIES_NOT_AVAILABLE = (
        400,
        "This deployment keeps no registered queries.",
        "Send the document instead of its id.",
    )
    DP_PATH_NOT_PLANNABLE = (
        400,
        "A differentially private field stands where its data set is not known before it runs.",
        "Ask for it under `tenant(id:) { dataset(id:) { dp } }`, or as an entity by its key.",
    )
    DP_TOO_MANY_RELEASES = (
        400,
        "The operation asks for more releases than one operation may.",
        "Split the operation.",
    )
    DP_RELEASE_FAILED = (
        500,
        "The release could not be made; what it was charged stays spent.",
        "Ask again, which is charged again; why it failed could depend on the data, so nobody is told.",
    )
    BUDGET_BEHIND_LEDGER = (
        503,
        "The spend log is older than what the ledger says of it, or another one.",
        "The operator restores the newest backup; until then nothing can be spent.",
    )
    BUDGET_INVALID = (
        422,
        "A spend log does not verify.",
        "The finding names what is wrong; docs/budgets.md explains it.",
    )

    # --- keys and witness
    KEY_UNAVAILABLE = (
        503,
        "The holder of a key did not answer, or not in time.",
        "Try again; the operator checks the provider or the device.",
    )
    KEY_ACCESS_DENIED = (
        503,
        "The holder of a key refuses the service's credentials.",
        "The operator mends the credentials and starts the service again.",
    )
    KEY_NOT_FOUND = (
        503,
        "There is no key at the configured address.",
        "The operator mends the address, or makes the key.",
    )
    KEY_UNUSABLE = (
        503,
        "The key is not one that the service may use.",
        "The operator does what the message says.",
    )
    JOB_IN_FLIGHT = (
        409,
        "Another job on this tenant's keys has not ended.",
        "Wait for it, or cancel it.",
    )
    JOB_ENDED = (409, "The job has ended.", "Plan another one.")
    KEY_IN_USE = (
        409,
        "Records still depend on this version of the key, or it is the one in use.",
        "Rotate and rewrap first; `recordsRemaining` says how many records are left.",
    )
    KEY_THROTTLED = (
        503,
        "The key's provider limits how often it may be asked.",
        "Try again later; the operator compares the provider's quota with the rate of calls.",
    )
    KEY_DISABLED = (
        403,
        "The key is disabled at its provider, or suspended here.",
        "The key's owner enables it again; until then nothing that it protects can be read.",
    )
    KEY_PENDING_DELETION = (
        403,
        "The key is about to be destroyed at its provider.",
        "The key's owner cancels the deletion; afterwards nothing that it protects can be read.",
    )
    WRONG_KEY = (
        409,
        "This was wrapped by another key than the one that was asked.",
        "The operator compares the key's address and version with the stored ones.",
    )
    INTEGRITY = (
        500,
        "A stored ciphertext does not fit its place, or was changed.",
        "The operator restores it from a backup; it is listed under `quarantined` of the key job.",
    )
    KEY_CLOSED = (503, "The key was given back: the service is stopping.", "Try again.")
    WITNESS_UNAVAILABLE = (
        503,
        "The witness did not answer, or not in time.",
        "Try again; the operator checks the witness.",
    )
    WITNESS_REFUSED = (
        503,
        "The witness does not cosign this checkpoint.",
        "The operator compares the witness's configuration with the service's.",
    )
    LEDGER_BEHIND_WITNESS = (
        503,
        "The ledger is older than what the witness has cosigned: a backup was restored.",
        "The operator follows docs/witness.md.",
    )
    LEDGER_FORKED = (
        503,
        "The ledger does not continue what the witness has cosigned.",
        "The operator keeps both checkpoints as evidence and follows docs/witness.md.",
    )

    LEDGER_EQUIVOCATION = (
        409,
        "An event with this id is in the ledger, and says something else.",
        "Send an event once, or give the other one an id of its own.",
    )

    # --- faults
    DATABASE_UNAVAILABLE = (
        503,
        "The database cannot be reached.",
        "Try again; the service recovers by itself.",
    )
    DEADLINE_EXCEEDED = (
        504,
        "The operation took longer than its deadline.",
        "Ask for less, or try again.",
    )
    LEDGER_KEY_UNAVAILABLE = (
        503,
        "This process holds no delegated key that is valid now, so it can record nothing.",
        "Try again; the operator checks the root signer and the clock.",
    )
    CHECKPOINT_UNAVAILABLE = (
        503,
        "No checkpoint can be signed now; what needs one was refused and nothing has changed.",
        "Try again; the operator checks the root signer and the witness.",
    )
    OVERLOADED = (503, "The service sheds load.", "Try again after the time in `Retry-After`.")
    INTERNAL_ERROR = (500, "A fault of this service.", "Report the `requestId`.")

    # --- the command line and the start
    SETTINGS_INVALID = (
        500,
        "A setting is unknown, missing or has a wrong value.",
        "See `ig serve --help`.",
    )
    DATA_FOLDER_IN_USE = (
        500,
        "Another process runs on this data folder.",
        "Stop it, or choose another folder.",
    )
    WITNESS_STATE_IN_USE = (
        500,
        "Another witness runs on this state file.",
        "Stop it; a state file serves one witness.",
    )
    WITNESS_STATE_INVALID = (
        500,
        "The witness's state file cannot be trusted.",
        "Do what the message says; see docs/witness.md.",
    )
    DATA_FOLDER_UNUSABLE = (500, "The data folder cannot be used.", "Do what the message says.")
    PORT_IN_USE = (500, "The port is taken.", "Stop what listens there, or choose another port.")
    DATABASE_ROLE_UNSAFE = (
        500,
        "The database role could read around row-level security.",
        "Use a role that is neither superuser nor BYPASSRLS nor the owner of the tables.",
    )
    DATABASE_NOT_MIGRATED = (
        500,
        "The database is not at the revision of this release.",
        "Run `ig db upgrade`.",
    )
    DEMO_DATA_UNAVAILABLE = (
        500,
        "The demonstration data cannot be read.",
        "Install the extra `demo` at the locked version.",
    )
    SCHEMA_INVALID = (500, "The schema breaks a rule of the house.", "Mend the named element.")
    DEPRECATIONS_INVALID = (500, "`deprecations.yaml` breaks a rule.", "Mend the named record.")

    def __init__(self, status: int, meaning: str, remedy: str) -> None:
        self.status = status
        self.meaning = meaning
        self.remedy = remedy


class SubgraphError(Exception):
    """The base of every expected failure.

    `message` is for people and never holds a secret, a personal value or a hint about another
    tenant's data. `details` are JSON values that go out as further `extensions`.
    """

    def __init__(self, code: ErrorCode, message: str | None = None, **details: JSONValue) -> None:
        self.code = code
        self.message = message or code.meaning
        self.details = details
        super().__init__(f"{code.name}: {self.message}")

    @property
    def extensions(self) -> dict[str, JSONValue]:
        """What a GraphQL error carries as `extensions`, `requestId` aside."""
        return {"code": self.code.name, **self.details}


class InvalidField(SubgraphError):
    """A field of the input breaks a rule; `field` is its path, from the argument on."""

    def __init__(
        self, message: str, field: tuple[str, ...], code: ErrorCode = ErrorCode.INVALID_INPUT
    ) -> None:
        super().__init__(code, message)
        self.field = field
