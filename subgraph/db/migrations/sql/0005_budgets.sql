CREATE TABLE dp_policy (
    tenant_id text NOT NULL,
    version integer NOT NULL,
    accountant text NOT NULL,
    window_kind text NOT NULL,
    epsilon_limit numeric NOT NULL,
    lifetime_limit numeric,
    max_epsilon_per_operation numeric,
    effective_from timestamptz NOT NULL,
    set_by text NOT NULL,
    CONSTRAINT dp_policy_pkey PRIMARY KEY (tenant_id, version),
    CONSTRAINT dp_policy_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id),
    CONSTRAINT dp_policy_version_check CHECK (version >= 1),
    CONSTRAINT dp_policy_accountant_check CHECK (accountant = 'PURE_EPSILON'),
    CONSTRAINT dp_policy_window_kind_check
        CHECK (window_kind IN ('DAY', 'WEEK', 'MONTH', 'QUARTER')),
    CONSTRAINT dp_policy_epsilon_limit_check
        CHECK (epsilon_limit > 0 AND epsilon_limit < 1e9 AND scale(epsilon_limit) <= 9),
    CONSTRAINT dp_policy_lifetime_limit_check
        CHECK (lifetime_limit > 0 AND lifetime_limit < 1e9 AND scale(lifetime_limit) <= 9),
    CONSTRAINT dp_policy_max_epsilon_per_operation_check
        CHECK (max_epsilon_per_operation > 0 AND max_epsilon_per_operation < 1e9
            AND scale(max_epsilon_per_operation) <= 9)
);
COMMENT ON TABLE dp_policy IS 'Every version of each tenant''s budget policy; append-only.';
COMMENT ON COLUMN dp_policy.lifetime_limit IS 'for all windows together; none: no cap';
CREATE TABLE dp_budget (
    tenant_id text NOT NULL,
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    policy_version integer,
    epsilon_limit numeric,
    epsilon_granted numeric DEFAULT 0 NOT NULL,
    epsilon_spent numeric DEFAULT 0 NOT NULL,
    epsilon_reserved numeric DEFAULT 0 NOT NULL,
    seq bigint DEFAULT 0 NOT NULL,
    head bytea,
    alerted_at timestamptz,
    anchored_seq bigint DEFAULT 0 NOT NULL,
    CONSTRAINT dp_budget_pkey PRIMARY KEY (tenant_id, window_start),
    CONSTRAINT dp_budget_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES tenant (tenant_id),
    CONSTRAINT dp_budget_tenant_id_policy_version_fkey FOREIGN KEY (tenant_id, policy_version)
        REFERENCES dp_policy (tenant_id, version),
    CONSTRAINT dp_budget_window_end_check CHECK (window_end > window_start),
    CONSTRAINT dp_budget_lifetime_check CHECK (
        CASE WHEN window_start = '-infinity'
            THEN window_end = 'infinity' AND head IS NULL
            ELSE isfinite(window_end) AND octet_length(head) = 32 AND head IS NOT NULL
                AND policy_version IS NOT NULL AND epsilon_limit IS NOT NULL END),
    CONSTRAINT dp_budget_epsilon_limit_check
        CHECK (epsilon_limit > 0 AND epsilon_limit < 1e9 AND scale(epsilon_limit) <= 9),
    CONSTRAINT dp_budget_epsilon_granted_check
        CHECK (epsilon_granted >= 0 AND epsilon_granted < 1e12 AND scale(epsilon_granted) <= 9),
    CONSTRAINT dp_budget_epsilon_spent_check
        CHECK (epsilon_spent >= 0 AND epsilon_spent < 1e12 AND scale(epsilon_spent) <= 9),
    CONSTRAINT dp_budget_epsilon_reserved_check
        CHECK (epsilon_reserved >= 0 AND epsilon_reserved < 1e12
            AND scale(epsilon_reserved) <= 9),
    CONSTRAINT dp_budget_seq_check CHECK (seq >= 0 AND anchored_seq BETWEEN 0 AND seq)
);
COMMENT ON TABLE dp_budget IS
    'What a tenant may spend and has spent in each window; at -infinity, in its lifetime.';
COMMENT ON COLUMN dp_budget.policy_version IS
    'under which the window opened; of the lifetime, whose cap it has';
COMMENT ON COLUMN dp_budget.epsilon_limit IS 'none: no cap, for the lifetime only';
COMMENT ON COLUMN dp_budget.epsilon_granted IS 'sum of the applied overrides';
COMMENT ON COLUMN dp_budget.epsilon_spent IS 'never decreases; includes what is RESERVED';
COMMENT ON COLUMN dp_budget.epsilon_reserved IS 'promised to queued operations, not spent';
COMMENT ON COLUMN dp_budget.seq IS 'number of spends';
COMMENT ON COLUMN dp_budget.head IS 'chain hash of the newest spend; none for the lifetime';
COMMENT ON COLUMN dp_budget.alerted_at IS 'when less than a tenth was left for the first time';
COMMENT ON COLUMN dp_budget.anchored_seq IS 'seq in the newest budget.head event';
CREATE TABLE dp_reservation (
    tenant_id text NOT NULL,
    reservation_id uuid NOT NULL,
    idempotency_key text NOT NULL,
    request_digest bytea NOT NULL,
    window_start timestamptz NOT NULL,
    first_seq bigint NOT NULL,
    spends integer NOT NULL,
    epsilon numeric NOT NULL,
    head bytea NOT NULL,
    reserved_at timestamptz NOT NULL,
    holder uuid NOT NULL,
    epoch integer NOT NULL,
    lease_until timestamptz NOT NULL,
    CONSTRAINT dp_reservation_pkey PRIMARY KEY (tenant_id, reservation_id),
    CONSTRAINT dp_reservation_tenant_id_idempotency_key_key UNIQUE (tenant_id, idempotency_key),
    CONSTRAINT dp_reservation_tenant_id_window_start_fkey FOREIGN KEY (tenant_id, window_start)
        REFERENCES dp_budget (tenant_id, window_start),
    CONSTRAINT dp_reservation_idempotency_key_check
        CHECK (char_length(idempotency_key) BETWEEN 1 AND 200),
    CONSTRAINT dp_reservation_request_digest_check CHECK (octet_length(request_digest) = 32),
    CONSTRAINT dp_reservation_spends_check CHECK (spends >= 1),
    CONSTRAINT dp_reservation_epsilon_check CHECK (epsilon > 0 AND epsilon < 1e12)
);
COMMENT ON TABLE dp_reservation IS 'All spends of one operation: paid for together or not at all.';
COMMENT ON COLUMN dp_reservation.request_digest IS 'SHA-256 of what was asked under the key';
COMMENT ON COLUMN dp_reservation.first_seq IS 'seq of the first of its spends';
COMMENT ON COLUMN dp_reservation.head IS 'chain hash of the last of its spends';
COMMENT ON COLUMN dp_reservation.epoch IS 'fencing number; grows when another holder takes over';
CREATE TABLE dp_spend (
    tenant_id text NOT NULL,
    window_start timestamptz NOT NULL,
    seq bigint NOT NULL,
    spend_id uuid NOT NULL,
    reservation_id uuid NOT NULL,
    dataset_id uuid NOT NULL,
    release_key bytea NOT NULL,
    epsilon numeric NOT NULL,
    entry text NOT NULL,
    chain_hash bytea NOT NULL,
    state text DEFAULT 'RESERVED' NOT NULL,
    settled_at timestamptz,
    CONSTRAINT dp_spend_pkey PRIMARY KEY (tenant_id, window_start, seq),
    CONSTRAINT dp_spend_tenant_id_spend_id_key UNIQUE (tenant_id, spend_id),
    CONSTRAINT dp_spend_tenant_id_reservation_id_fkey FOREIGN KEY (tenant_id, reservation_id)
        REFERENCES dp_reservation (tenant_id, reservation_id),
    CONSTRAINT dp_spend_seq_check CHECK (seq >= 1),
    CONSTRAINT dp_spend_release_key_check CHECK (octet_length(release_key) = 32),
    CONSTRAINT dp_spend_epsilon_check
        CHECK (epsilon > 0 AND epsilon < 1e9 AND scale(epsilon) <= 9),
    CONSTRAINT dp_spend_chain_hash_check CHECK (octet_length(chain_hash) = 32),
    CONSTRAINT dp_spend_state_check CHECK (state IN ('RESERVED', 'COMMITTED', 'FORFEITED')),
    CONSTRAINT dp_spend_settled_at_check CHECK ((state = 'RESERVED') = (settled_at IS NULL))
);
CREATE UNIQUE INDEX dp_spend_unsettled ON dp_spend (tenant_id, release_key)
    WHERE state = 'RESERVED';
COMMENT ON TABLE dp_spend IS 'The hash-chained spend log of each window; entries never change.';
COMMENT ON COLUMN dp_spend.seq IS 'position in the window, from 1';
COMMENT ON COLUMN dp_spend.entry IS 'RFC 8785 text exactly as hashed';
COMMENT ON COLUMN dp_spend.chain_hash IS 'SHA-256 over the one before and the entry';
CREATE TABLE dp_release (
    tenant_id text NOT NULL,
    release_key bytea NOT NULL,
    spend_id uuid NOT NULL,
    dataset_version text NOT NULL,
    answer text NOT NULL,
    released_at timestamptz NOT NULL,
    CONSTRAINT dp_release_pkey PRIMARY KEY (tenant_id, release_key),
    CONSTRAINT dp_release_tenant_id_spend_id_key UNIQUE (tenant_id, spend_id),
    CONSTRAINT dp_release_tenant_id_spend_id_fkey FOREIGN KEY (tenant_id, spend_id)
        REFERENCES dp_spend (tenant_id, spend_id),
    CONSTRAINT dp_release_release_key_check CHECK (octet_length(release_key) = 32)
);
COMMENT ON TABLE dp_release IS 'Answers that were paid for; a repeat gets the stored one.';
COMMENT ON COLUMN dp_release.answer IS 'in clear: it is public by post-processing';
CREATE TABLE dp_override (
    tenant_id text NOT NULL,
    override_id uuid NOT NULL,
    approval_request_id uuid NOT NULL,
    window_start timestamptz NOT NULL,
    epsilon numeric NOT NULL,
    warrant_reference text NOT NULL,
    warrant_issued_by text NOT NULL,
    warrant_issued_at timestamptz NOT NULL,
    warrant_expires_at timestamptz NOT NULL,
    warrant_document_digest text NOT NULL,
    applied_at timestamptz NOT NULL,
    applied_by text NOT NULL,
    CONSTRAINT dp_override_pkey PRIMARY KEY (tenant_id, override_id),
    CONSTRAINT dp_override_tenant_id_approval_request_id_key
        UNIQUE (tenant_id, approval_request_id),
    CONSTRAINT dp_override_tenant_id_window_start_fkey FOREIGN KEY (tenant_id, window_start)
        REFERENCES dp_budget (tenant_id, window_start),
    CONSTRAINT dp_override_epsilon_check
        CHECK (epsilon > 0 AND epsilon < 1e9 AND scale(epsilon) <= 9),
    CONSTRAINT dp_override_warrant_check
        CHECK (warrant_issued_at <= applied_at AND applied_at < warrant_expires_at),
    CONSTRAINT dp_override_warrant_document_digest_check
        CHECK (warrant_document_digest ~ '^sha256:[0-9a-f]{64}$')
);
CREATE INDEX dp_override_tenant_id_window_start_idx ON dp_override (tenant_id, window_start);
COMMENT ON TABLE dp_override IS 'Epsilon granted on top of a window''s limit; append-only.';
CREATE TABLE dp_ticket (
    tenant_id text NOT NULL,
    ticket_id uuid NOT NULL,
    idempotency_key text NOT NULL,
    request_digest bytea NOT NULL,
    operation text NOT NULL,
    variables text NOT NULL,
    actor text NOT NULL,
    epsilon numeric NOT NULL,
    promised numeric NOT NULL,
    not_before timestamptz NOT NULL,
    deadline timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    state text DEFAULT 'QUEUED' NOT NULL,
    failure text,
    result text,
    holder uuid,
    epoch integer DEFAULT 0 NOT NULL,
    lease_until timestamptz,
    created_at timestamptz NOT NULL,
    settled_at timestamptz,
    CONSTRAINT dp_ticket_pkey PRIMARY KEY (tenant_id, ticket_id),
    CONSTRAINT dp_ticket_tenant_id_idempotency_key_key UNIQUE (tenant_id, idempotency_key),
    CONSTRAINT dp_ticket_tenant_id_not_before_fkey FOREIGN KEY (tenant_id, not_before)
        REFERENCES dp_budget (tenant_id, window_start),
    CONSTRAINT dp_ticket_idempotency_key_check
        CHECK (char_length(idempotency_key) BETWEEN 1 AND 200),
    CONSTRAINT dp_ticket_request_digest_check CHECK (octet_length(request_digest) = 32),
    CONSTRAINT dp_ticket_epsilon_check
        CHECK (epsilon > 0 AND epsilon < 1e9 AND scale(epsilon) <= 9),
    CONSTRAINT dp_ticket_promised_check CHECK (promised IN (0, epsilon)),
    CONSTRAINT dp_ticket_expires_at_check CHECK (expires_at > not_before),
    CONSTRAINT dp_ticket_state_check CHECK (state IN
        ('QUEUED', 'RUNNING', 'DONE', 'DENIED', 'FAILED', 'EXPIRED', 'CANCELLED')),
    CONSTRAINT dp_ticket_settled_at_check
        CHECK ((state IN ('QUEUED', 'RUNNING')) = (settled_at IS NULL)
            AND (settled_at IS NULL OR promised = 0))
);
CREATE INDEX dp_ticket_open ON dp_ticket (not_before, created_at)
    WHERE state IN ('QUEUED', 'RUNNING');
COMMENT ON TABLE dp_ticket IS 'Operations that wait for the next window, with its promise.';
COMMENT ON COLUMN dp_ticket.promised IS 'part of epsilon_reserved of its window; 0 once used';
COMMENT ON COLUMN dp_ticket.not_before IS 'start of the window that promised';
COMMENT ON COLUMN dp_ticket.expires_at IS 'the deadline, or the end of that window if earlier';
COMMENT ON COLUMN dp_ticket.epoch IS 'fencing number; grows with every claim';
CREATE TABLE dataset_version (
    tenant_id text NOT NULL,
    dataset_id uuid NOT NULL,
    version text NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    by text NOT NULL,
    CONSTRAINT dataset_version_pkey PRIMARY KEY (tenant_id, dataset_id, version),
    CONSTRAINT dataset_version_tenant_id_dataset_id_fkey FOREIGN KEY (tenant_id, dataset_id)
        REFERENCES dataset (tenant_id, dataset_id)
);
COMMENT ON TABLE dataset_version IS
    'The versions that data sets have had; none is ever used again.';
COMMENT ON COLUMN dataset_version.by IS 'pseudonymous subject id';
