CREATE TABLE tenant_cmk (
    tenant_id text NOT NULL,
    key_id uuid NOT NULL,
    provider text NOT NULL,
    key_uri text NOT NULL,
    state text NOT NULL,
    rotate_every_days integer,
    created_at timestamptz DEFAULT now() NOT NULL,
    last_rotated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT tenant_cmk_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT tenant_cmk_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenant (tenant_id),
    CONSTRAINT tenant_cmk_provider_check
        CHECK (provider IN ('AWS_KMS', 'GCP_KMS', 'AZURE_KEY_VAULT', 'PKCS11',
            'OPENBAO', 'LOCAL')),
    CONSTRAINT tenant_cmk_state_check CHECK (state IN ('ACTIVE', 'SUSPENDED')),
    CONSTRAINT tenant_cmk_rotate_every_days_check CHECK (rotate_every_days BETWEEN 1 AND 3650)
);

COMMENT ON TABLE tenant_cmk IS 'The customer-managed key of each tenant.';

COMMENT ON COLUMN tenant_cmk.key_id IS 'our id of the key; the provider''s is key_uri';

COMMENT ON COLUMN tenant_cmk.key_uri IS 'address at the provider, without a version';

COMMENT ON COLUMN tenant_cmk.rotate_every_days IS 'how often a rotation is due; none: never';

CREATE TABLE key_version (
    tenant_id text NOT NULL,
    number integer NOT NULL,
    version_id uuid NOT NULL,
    provider text NOT NULL,
    key_uri text NOT NULL,
    provider_version text NOT NULL,
    state text NOT NULL,
    origin text NOT NULL,
    protection_level text NOT NULL,
    region text,
    created_at timestamptz DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    CONSTRAINT key_version_pkey PRIMARY KEY (tenant_id, number),
    CONSTRAINT key_version_tenant_id_version_id_key UNIQUE (tenant_id, version_id),
    CONSTRAINT key_version_tenant_id_fkey
        FOREIGN KEY(tenant_id) REFERENCES tenant_cmk (tenant_id),
    CONSTRAINT key_version_number_check CHECK (number >= 1),
    CONSTRAINT key_version_state_check
        CHECK (state IN ('ACTIVE', 'DECRYPT_ONLY', 'DISABLED', 'DESTROYED'))
);

CREATE UNIQUE INDEX key_version_active ON key_version (tenant_id) WHERE state = 'ACTIVE';

COMMENT ON TABLE key_version IS 'The versions of the tenants'' keys that wrapped data keys here.';

COMMENT ON COLUMN key_version.number IS 'counts from 1, over all keys of a tenant';

COMMENT ON COLUMN key_version.provider_version IS 'the version in the provider''s words';

COMMENT ON COLUMN key_version.origin IS 'where the key comes from, the provider says';

COMMENT ON COLUMN key_version.protection_level IS 'such as SOFTWARE or HSM';

COMMENT ON COLUMN key_version.region IS 'the provider''s region';

COMMENT ON COLUMN key_version.created_by IS 'pseudonymous subject id';

CREATE TABLE data_key (
    tenant_id text NOT NULL,
    data_key_id uuid NOT NULL,
    object_type text NOT NULL,
    generation integer NOT NULL,
    state text NOT NULL,
    key_version integer NOT NULL,
    wrapped bytea,
    created_at timestamptz DEFAULT now() NOT NULL,
    wrapped_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT data_key_pkey PRIMARY KEY (tenant_id, data_key_id),
    CONSTRAINT data_key_tenant_id_object_type_generation_key
        UNIQUE (tenant_id, object_type, generation),
    CONSTRAINT data_key_tenant_id_key_version_fkey
        FOREIGN KEY(tenant_id, key_version) REFERENCES key_version (tenant_id, number),
    CONSTRAINT data_key_generation_check CHECK (generation >= 1),
    CONSTRAINT data_key_state_check
        CHECK (state IN ('ACTIVE', 'DECRYPT_ONLY', 'RETIRED', 'DESTROYED')),
    CONSTRAINT data_key_wrapped_check CHECK ((wrapped IS NULL) = (state = 'DESTROYED'))
);

CREATE UNIQUE INDEX data_key_active ON data_key (tenant_id, object_type) WHERE state = 'ACTIVE';

CREATE INDEX data_key_tenant_id_key_version_idx ON data_key (tenant_id, key_version);

COMMENT ON TABLE data_key IS 'The keys that encrypt, wrapped by a version of the tenant''s key.';

COMMENT ON COLUMN data_key.data_key_id IS 'in the header of every message';

COMMENT ON COLUMN data_key.generation IS 'counts from 1 within the object type';

COMMENT ON COLUMN data_key.key_version IS 'the version that wrapped it';

COMMENT ON COLUMN data_key.wrapped IS 'as only the provider opens it; none once destroyed';

CREATE TABLE data_key_count (
    tenant_id text NOT NULL,
    data_key_id uuid NOT NULL,
    shard smallint NOT NULL,
    records bigint NOT NULL,
    CONSTRAINT data_key_count_pkey PRIMARY KEY (tenant_id, data_key_id, shard),
    CONSTRAINT data_key_count_tenant_id_data_key_id_fkey
        FOREIGN KEY(tenant_id, data_key_id) REFERENCES data_key (tenant_id, data_key_id),
    CONSTRAINT data_key_count_shard_check CHECK (shard BETWEEN 0 AND 7)
);

COMMENT ON TABLE data_key_count IS
    'How many records each data key encrypts, moved with the records.';

COMMENT ON COLUMN data_key_count.shard IS 'writers spread over several rows';

COMMENT ON COLUMN data_key_count.records IS 'one shard alone may be below zero';

CREATE TABLE protected_record (
    tenant_id text NOT NULL,
    record_id uuid NOT NULL,
    external_id text,
    object_type text NOT NULL,
    data_key_id uuid NOT NULL,
    row_version bigint NOT NULL,
    fields bytea NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT protected_record_pkey PRIMARY KEY (tenant_id, record_id),
    CONSTRAINT protected_record_tenant_id_data_key_id_fkey
        FOREIGN KEY(tenant_id, data_key_id) REFERENCES data_key (tenant_id, data_key_id),
    CONSTRAINT protected_record_row_version_check CHECK (row_version >= 1)
);

CREATE INDEX protected_record_tenant_id_data_key_id_record_id_idx ON protected_record
    (tenant_id, data_key_id, record_id);

CREATE INDEX protected_record_tenant_id_object_type_record_id_idx ON protected_record
    (tenant_id, object_type, record_id);

COMMENT ON TABLE protected_record IS
    'Records whose fields are encrypted under a data key of the tenant.';

COMMENT ON COLUMN protected_record.external_id IS 'the caller''s own name for it; not encrypted';

COMMENT ON COLUMN protected_record.row_version IS 'grows with every change of the row';

COMMENT ON COLUMN protected_record.fields IS 'docs/envelope-format.md';

CREATE TABLE key_job (
    tenant_id text NOT NULL,
    job_id uuid NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    object_type text,
    throttle_per_second integer,
    total bigint NOT NULL,
    done bigint NOT NULL,
    superseded bigint NOT NULL,
    quarantined bigint NOT NULL,
    source uuid,
    cursor uuid,
    empty_sweeps smallint NOT NULL,
    epoch bigint NOT NULL,
    attempt bigint NOT NULL,
    rows_per_second double precision,
    blocked_code text,
    blocked_message text,
    created_at timestamptz DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT key_job_pkey PRIMARY KEY (tenant_id, job_id),
    CONSTRAINT key_job_tenant_id_fkey FOREIGN KEY(tenant_id) REFERENCES tenant_cmk (tenant_id),
    CONSTRAINT key_job_kind_check CHECK (kind IN ('ROTATE', 'REWRAP', 'REENCRYPT')),
    CONSTRAINT key_job_state_check
        CHECK (state IN ('PLANNED', 'RUNNING', 'PAUSED', 'BLOCKED', 'VERIFYING',
            'DONE', 'CANCELLED')),
    CONSTRAINT key_job_throttle_per_second_check CHECK (throttle_per_second >= 1),
    CONSTRAINT key_job_counts_check
        CHECK (total >= 0 AND done >= 0 AND superseded >= 0 AND quarantined >= 0)
);

CREATE UNIQUE INDEX key_job_in_flight ON key_job (tenant_id)
    WHERE state NOT IN ('DONE', 'CANCELLED');

CREATE INDEX key_job_tenant_id_created_at_job_id_idx ON key_job (tenant_id, created_at, job_id);

COMMENT ON TABLE key_job IS
    'Work on a tenant''s keys and records; one job of a tenant is in flight at a time.';

COMMENT ON COLUMN key_job.object_type IS 're-encrypt this type only; none: all';

COMMENT ON COLUMN key_job.throttle_per_second IS
    'most rows a second; none: as the database allows';

COMMENT ON COLUMN key_job.superseded IS 'rows that a writer moved first';

COMMENT ON COLUMN key_job.source IS 'the data key whose records are being moved';

COMMENT ON COLUMN key_job.cursor IS 'the last record that was looked at';

COMMENT ON COLUMN key_job.empty_sweeps IS 'sweeps in a row without a row';

COMMENT ON COLUMN key_job.epoch IS 'the slice that is due';

COMMENT ON COLUMN key_job.attempt IS 'fence: claims, over all slices';

COMMENT ON COLUMN key_job.rows_per_second IS 'of the last slice';

COMMENT ON COLUMN key_job.created_by IS 'pseudonymous subject id';

CREATE TABLE key_job_quarantine (
    tenant_id text NOT NULL,
    job_id uuid NOT NULL,
    record_id uuid NOT NULL,
    code text NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT key_job_quarantine_pkey PRIMARY KEY (tenant_id, job_id, record_id),
    CONSTRAINT key_job_quarantine_tenant_id_job_id_fkey
        FOREIGN KEY(tenant_id, job_id) REFERENCES key_job (tenant_id, job_id)
);

COMMENT ON TABLE key_job_quarantine IS
    'Records that a job could not decrypt; they stay as they are.';

CREATE TABLE key_verdict (
    tenant_id text NOT NULL,
    fault text,
    checked_at timestamptz,
    holder uuid,
    lease_until timestamptz,
    CONSTRAINT key_verdict_pkey PRIMARY KEY (tenant_id),
    CONSTRAINT key_verdict_tenant_id_fkey
        FOREIGN KEY(tenant_id) REFERENCES tenant_cmk (tenant_id)
);

COMMENT ON TABLE key_verdict IS
    'What the last probe of each tenant''s key found; replicas read it every second.';

COMMENT ON COLUMN key_verdict.fault IS 'why the key may not be used; none: it may';

COMMENT ON COLUMN key_verdict.checked_at IS 'none before the first probe';

COMMENT ON COLUMN key_verdict.holder IS 'the process that probes';

CREATE TABLE idempotency (
    tenant_id text NOT NULL,
    operation text NOT NULL,
    key text NOT NULL,
    request_digest bytea NOT NULL,
    result_id uuid NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT idempotency_pkey PRIMARY KEY (tenant_id, operation, key)
);

COMMENT ON TABLE idempotency IS 'What a repeated request was answered the first time.';

COMMENT ON COLUMN idempotency.key IS 'chosen by the caller';

COMMENT ON COLUMN idempotency.request_digest IS 'SHA-256 of what was asked';

CREATE TABLE ledger_subject (
    tenant_id text NOT NULL,
    subject_id uuid NOT NULL,
    index bigint NOT NULL,
    CONSTRAINT ledger_subject_pkey PRIMARY KEY (tenant_id, subject_id, index),
    CONSTRAINT ledger_subject_tenant_id_index_fkey
        FOREIGN KEY(tenant_id, index) REFERENCES ledger_event (tenant_id, index)
);

COMMENT ON TABLE ledger_subject IS
    'Finds the events of an object; derived, and no part of the log.';

COMMENT ON COLUMN ledger_subject.subject_id IS 'an object that the event is about';

COMMENT ON COLUMN ledger_subject.index IS 'of the event in the tenant''s log';
