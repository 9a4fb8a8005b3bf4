-- Written by `make schema` from store/migrations/tables.py; change that, and add a step to migrations/versions.

-- A row for each step; the highest is the schema that there is. `oldest`: the oldest server schema that may run on it.
CREATE TABLE schema_version (
    version BIGINT NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    applied_at DOUBLE PRECISION NOT NULL,
    oldest BIGINT NOT NULL,
    PRIMARY KEY (version)
);

-- One row: which installation this is. `generation` rises when a backup is restored, `control_version` whenever keys or
-- other control state change, `pings` when somebody asks whether the store can be written.
CREATE TABLE installation (
    "only" BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    control_version BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    pings BIGINT NOT NULL,
    PRIMARY KEY ("only"),
    CHECK ("only" = 1)
);

-- A server process. Until `until` nobody claims its runs. `masters`: names of the master keys that it has, the present one
-- first; empty where it has not said.
CREATE TABLE holders (
    holder TEXT COLLATE "C" NOT NULL,
    until DOUBLE PRECISION NOT NULL,
    masters TEXT COLLATE "C" DEFAULT '' NOT NULL,
    PRIMARY KEY (holder)
);

-- Who may write to a run, and where it stands: the one row that decides whether an append is taken. At rest: finished, or
-- waiting for a decision. `user`: in whose name it was begun.
CREATE TABLE leases (
    tenant TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    branch TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    holder TEXT COLLATE "C" NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    at_rest BOOLEAN DEFAULT false NOT NULL,
    "user" TEXT COLLATE "C",
    PRIMARY KEY (tenant, run)
);

CREATE INDEX leases_by_user ON leases (tenant, "user", run) WHERE "user" IS NOT NULL;

CREATE INDEX leases_open ON leases (holder, run) WHERE NOT at_rest;

-- `xid` and `number` are the order of commits, for tails over many runs: an event whose transaction began early and
-- committed late is not skipped, because readers stop before the oldest transaction that is still open.
CREATE TABLE events (
    tenant TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    branch TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    key_id TEXT COLLATE "C",
    xid XID8 DEFAULT pg_current_xact_id() NOT NULL,
    number BIGINT GENERATED ALWAYS AS IDENTITY,
    PRIMARY KEY (tenant, run, seq)
);

CREATE INDEX events_by_commit ON events (tenant, xid, number);

-- What was used and what it cost; stays when its run is removed.
CREATE TABLE ledger (
    tenant TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    branch TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    amount_microusd BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cache_write_tokens BIGINT DEFAULT 0 NOT NULL
);

CREATE INDEX ledger_by_run ON ledger (tenant, run);

-- What is still to be told to the outside, and what became of it.
CREATE TABLE outbox (
    tenant TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    branch TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    at DOUBLE PRECISION NOT NULL,
    topic TEXT COLLATE "C" NOT NULL,
    target TEXT COLLATE "C" NOT NULL,
    due_at DOUBLE PRECISION NOT NULL,
    body BYTEA NOT NULL,
    state TEXT COLLATE "C" DEFAULT 'due' NOT NULL,
    attempts BIGINT DEFAULT 0 NOT NULL,
    done_at DOUBLE PRECISION,
    last_error TEXT COLLATE "C",
    PRIMARY KEY (tenant, id)
);

CREATE INDEX outbox_by_run ON outbox (tenant, run);

CREATE INDEX outbox_by_target ON outbox (tenant, target, state, at);

CREATE INDEX outbox_due ON outbox (target, due_at) WHERE state = 'due';

-- What a person must decide, and what was decided.
CREATE TABLE decisions (
    tenant TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    branch TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    about TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    agent TEXT COLLATE "C" NOT NULL,
    asked_at DOUBLE PRECISION NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    "default" TEXT COLLATE "C" NOT NULL,
    choice TEXT COLLATE "C",
    decided_by TEXT COLLATE "C",
    decided_at DOUBLE PRECISION,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX decisions_by_run ON decisions (tenant, run);

CREATE INDEX decisions_pending ON decisions (expires_at) WHERE choice IS NULL;

-- The rows that lists read. Run ids sort by time, so the primary key read backwards is "newest first". `estimated`: tokens
-- and cost hold what no provider reported, counted at its bound.
CREATE TABLE runs (
    tenant TEXT COLLATE "C" NOT NULL,
    run TEXT COLLATE "C" NOT NULL,
    branch TEXT COLLATE "C" NOT NULL,
    version TEXT COLLATE "C" NOT NULL,
    epoch BIGINT NOT NULL,
    agent TEXT COLLATE "C" NOT NULL,
    version_name TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    conversation TEXT COLLATE "C",
    principal TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    created_at DOUBLE PRECISION NOT NULL,
    started_at DOUBLE PRECISION,
    finished_at DOUBLE PRECISION,
    steps BIGINT NOT NULL,
    tool_calls BIGINT NOT NULL,
    input_tokens BIGINT NOT NULL,
    cached_input_tokens BIGINT NOT NULL,
    output_tokens BIGINT NOT NULL,
    reasoning_tokens BIGINT NOT NULL,
    cost_microusd BIGINT NOT NULL,
    priced BOOLEAN NOT NULL,
    estimated BOOLEAN DEFAULT false NOT NULL,
    cache_write_tokens BIGINT DEFAULT 0 NOT NULL,
    saved_microusd BIGINT DEFAULT 0 NOT NULL,
    "user" TEXT COLLATE "C",
    PRIMARY KEY (tenant, run)
);

CREATE INDEX runs_by_conversation ON runs (tenant, conversation, run) WHERE conversation IS NOT NULL;

CREATE INDEX runs_by_user ON runs (tenant, "user", run) WHERE "user" IS NOT NULL;

CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;

-- A name is bound to its digest for good.
CREATE TABLE versions (
    tenant TEXT COLLATE "C" NOT NULL,
    agent TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (tenant, agent, name)
);

-- API keys: never the secret, only its HMAC.
CREATE TABLE keys (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    role TEXT COLLATE "C" NOT NULL,
    mac BYTEA NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    expires_at DOUBLE PRECISION,
    revoked_at DOUBLE PRECISION,
    last_used_at DOUBLE PRECISION,
    PRIMARY KEY (tenant, id)
);

-- When schedules begin their next runs.
CREATE TABLE schedules (
    tenant TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    digest TEXT COLLATE "C" NOT NULL,
    next_at DOUBLE PRECISION NOT NULL,
    last_at DOUBLE PRECISION,
    last_run TEXT COLLATE "C",
    PRIMARY KEY (tenant, name)
);

-- Who did what. Each row's hash is over the one before it and the row: none can be changed, removed or moved unseen. Rows
-- are added and never changed; removed are only those up to a mark (`pruned`) in audit_checkpoints.
CREATE TABLE audit (
    tenant TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    home TEXT COLLATE "C" NOT NULL,
    verb TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    route TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (tenant, seq)
);

CREATE INDEX audit_by_time ON audit (tenant, at_us, seq);

-- Where each chain ends: whoever adds to it moves this row.
CREATE TABLE audit_heads (
    tenant TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (tenant)
);

-- What the installation signed of the chains.
CREATE TABLE audit_checkpoints (
    tenant TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    at_us BIGINT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (tenant, seq, kind)
);

-- Keys that content is sealed under, each wrapped by the master key that `master` names. `scope`: of a whole tenant, or of
-- one user (`subject`). `reserved`: how many values may have been sealed. Once `erased_at` is set `wrapped` is empty, and
-- what was sealed under it can be read by nobody.
CREATE TABLE data_keys (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    scope TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    wrapped BYTEA NOT NULL,
    master TEXT COLLATE "C" NOT NULL,
    reserved BIGINT NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    retired_at DOUBLE PRECISION,
    erased_at DOUBLE PRECISION,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX data_keys_by_subject ON data_keys (tenant, scope, subject) WHERE erased_at IS NULL;

CREATE UNIQUE INDEX data_keys_current ON data_keys (tenant, scope, subject) WHERE retired_at IS NULL AND erased_at IS NULL;

CREATE INDEX data_keys_of_tenants ON data_keys (tenant, id) WHERE scope = 'tenant';

-- Of the values of secrets, never the values: since when each is in use, and which are revoked. Of the installation, so
-- that a credential that leaked is revoked for all tenants at once.
CREATE TABLE secret_fingerprints (
    fingerprint TEXT COLLATE "C" NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    seen_at DOUBLE PRECISION NOT NULL,
    revoked_at DOUBLE PRECISION,
    revoked_by TEXT COLLATE "C",
    reason TEXT COLLATE "C",
    cut BOOLEAN NOT NULL,
    PRIMARY KEY (fingerprint)
);

-- Tokens of OpenID Connect issuers that are not taken any more. Tenant `*`: in all tenants. Removed once every token that
-- it means has expired (`until`).
CREATE TABLE tokens_revoked (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    before DOUBLE PRECISION NOT NULL,
    until DOUBLE PRECISION NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, id)
);

-- Who may use the installation: a row that is not active lets nobody of its tenant in. `agents` (patterns) and `limits`
-- are JSON. Rows of erased tenants stay, so that nobody takes their place.
CREATE TABLE tenants (
    tenant TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    keep_days DOUBLE PRECISION,
    agents TEXT COLLATE "C" NOT NULL,
    limits TEXT COLLATE "C" NOT NULL,
    note TEXT COLLATE "C" NOT NULL,
    changed_at DOUBLE PRECISION NOT NULL,
    erased_at DOUBLE PRECISION,
    PRIMARY KEY (tenant)
);

-- In whose names a tenant's runs are begun, and who of them is not let in.
CREATE TABLE tenant_users (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    last_seen_at DOUBLE PRECISION,
    note TEXT COLLATE "C" NOT NULL,
    erased_at DOUBLE PRECISION,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX tenant_users_out ON tenant_users (tenant, id) WHERE state <> 'active';

-- Where a tenant's own credentials for providers are found; never a value.
CREATE TABLE tenant_credentials (
    tenant TEXT COLLATE "C" NOT NULL,
    provider TEXT COLLATE "C" NOT NULL,
    reference TEXT COLLATE "C" NOT NULL,
    created_at DOUBLE PRECISION NOT NULL,
    created_by TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, provider)
);
