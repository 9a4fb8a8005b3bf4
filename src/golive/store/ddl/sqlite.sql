-- Written by `make schema` from store/migrations/tables.py; change that, and add a step to migrations/versions.

-- A row for each step; the highest is the schema that there is. `oldest`: the oldest server schema that may run on it.
CREATE TABLE schema_version (
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    applied_at REAL NOT NULL,
    oldest INTEGER NOT NULL,
    PRIMARY KEY (version)
) WITHOUT ROWID, STRICT;

-- One row: which installation this is. `generation` rises when a backup is restored, `control_version` whenever keys or
-- other control state change, `pings` when somebody asks whether the store can be written.
CREATE TABLE installation (
    only INTEGER NOT NULL,
    id TEXT NOT NULL,
    generation INTEGER NOT NULL,
    control_version INTEGER NOT NULL,
    created_at REAL NOT NULL,
    pings INTEGER NOT NULL,
    PRIMARY KEY (only),
    CHECK ("only" = 1)
) WITHOUT ROWID, STRICT;

-- A server process. Until `until` nobody claims its runs. `masters`: names of the master keys that it has, the present one
-- first; empty where it has not said.
CREATE TABLE holders (
    holder TEXT NOT NULL,
    until REAL NOT NULL,
    masters TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (holder)
) WITHOUT ROWID, STRICT;

-- Who may write to a run, and where it stands: the one row that decides whether an append is taken. At rest: finished, or
-- waiting for a decision. `user`: in whose name it was begun.
CREATE TABLE leases (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    branch TEXT NOT NULL,
    version TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    holder TEXT NOT NULL,
    at REAL NOT NULL,
    at_rest INTEGER DEFAULT 0 NOT NULL,
    user TEXT,
    PRIMARY KEY (tenant, run)
) WITHOUT ROWID, STRICT;

CREATE INDEX leases_by_user ON leases (tenant, user, run) WHERE "user" IS NOT NULL;

CREATE INDEX leases_open ON leases (holder, run) WHERE at_rest = 0;

-- Rows stand in the order they were written, and the primary key is an index beside them: a group of appends to many runs
-- fills a few pages at the table's end. Kept in the order of the key (WITHOUT ROWID) it touched one page a run, and rows
-- over 1 KB spilled into pages of their own: two to five times the processor time and the disk writes.
CREATE TABLE events (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    branch TEXT NOT NULL,
    version TEXT NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,
    key_id TEXT,
    PRIMARY KEY (tenant, run, seq)
) STRICT;

-- What was used and what it cost; stays when its run is removed.
CREATE TABLE ledger (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    branch TEXT NOT NULL,
    version TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    amount_microusd INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER DEFAULT 0 NOT NULL
) STRICT;

CREATE INDEX ledger_by_run ON ledger (tenant, run);

-- What is still to be told to the outside, and what became of it.
CREATE TABLE outbox (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    branch TEXT NOT NULL,
    version TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    id TEXT NOT NULL,
    at REAL NOT NULL,
    topic TEXT NOT NULL,
    target TEXT NOT NULL,
    due_at REAL NOT NULL,
    body BLOB NOT NULL,
    state TEXT DEFAULT 'due' NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    done_at REAL,
    last_error TEXT,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID, STRICT;

CREATE INDEX outbox_by_run ON outbox (tenant, run);

CREATE INDEX outbox_by_target ON outbox (tenant, target, state, at);

CREATE INDEX outbox_due ON outbox (target, due_at) WHERE state = 'due';

-- What a person must decide, and what was decided.
CREATE TABLE decisions (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    branch TEXT NOT NULL,
    version TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    id TEXT NOT NULL,
    about TEXT NOT NULL,
    subject TEXT NOT NULL,
    agent TEXT NOT NULL,
    asked_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    "default" TEXT NOT NULL,
    choice TEXT,
    decided_by TEXT,
    decided_at REAL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID, STRICT;

CREATE INDEX decisions_by_run ON decisions (tenant, run);

CREATE INDEX decisions_pending ON decisions (expires_at) WHERE choice IS NULL;

-- The rows that lists read. Run ids sort by time, so the primary key read backwards is "newest first". `estimated`: tokens
-- and cost hold what no provider reported, counted at its bound.
CREATE TABLE runs (
    tenant TEXT NOT NULL,
    run TEXT NOT NULL,
    branch TEXT NOT NULL,
    version TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    agent TEXT NOT NULL,
    version_name TEXT NOT NULL,
    source TEXT NOT NULL,
    conversation TEXT,
    principal TEXT NOT NULL,
    state TEXT NOT NULL,
    outcome TEXT,
    reason TEXT,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    steps INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cost_microusd INTEGER NOT NULL,
    priced INTEGER NOT NULL,
    estimated INTEGER DEFAULT 0 NOT NULL,
    cache_write_tokens INTEGER DEFAULT 0 NOT NULL,
    saved_microusd INTEGER DEFAULT 0 NOT NULL,
    user TEXT,
    PRIMARY KEY (tenant, run)
) WITHOUT ROWID, STRICT;

CREATE INDEX runs_by_conversation ON runs (tenant, conversation, run) WHERE conversation IS NOT NULL;

CREATE INDEX runs_by_user ON runs (tenant, user, run) WHERE "user" IS NOT NULL;

CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;

-- A name is bound to its digest for good.
CREATE TABLE versions (
    tenant TEXT NOT NULL,
    agent TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (tenant, agent, name)
) WITHOUT ROWID, STRICT;

-- API keys: never the secret, only its HMAC.
CREATE TABLE keys (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    mac BLOB NOT NULL,
    created_at REAL NOT NULL,
    created_by TEXT NOT NULL,
    expires_at REAL,
    revoked_at REAL,
    last_used_at REAL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID, STRICT;

-- When schedules begin their next runs.
CREATE TABLE schedules (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    next_at REAL NOT NULL,
    last_at REAL,
    last_run TEXT,
    PRIMARY KEY (tenant, name)
) WITHOUT ROWID, STRICT;

-- Who did what. Each row's hash is over the one before it and the row: none can be changed, removed or moved unseen. Rows
-- are added and never changed; removed are only those up to a mark (`pruned`) in audit_checkpoints.
CREATE TABLE audit (
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    actor TEXT NOT NULL,
    home TEXT NOT NULL,
    verb TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    outcome TEXT NOT NULL,
    source TEXT NOT NULL,
    route TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (tenant, seq)
) WITHOUT ROWID, STRICT;

CREATE INDEX audit_by_time ON audit (tenant, at_us, seq);

CREATE TRIGGER audit_stays BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;

CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE tenant = NEW.tenant AND seq = NEW.seq) BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;

CREATE TRIGGER audit_goes_with_a_mark BEFORE DELETE ON audit WHEN NOT EXISTS (
    SELECT 1 FROM audit_checkpoints WHERE tenant = OLD.tenant AND kind = 'pruned' AND seq >= OLD.seq
) BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;

-- Where each chain ends: whoever adds to it moves this row.
CREATE TABLE audit_heads (
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (tenant)
) WITHOUT ROWID, STRICT;

CREATE TRIGGER audit_heads_rise BEFORE UPDATE ON audit_heads
WHEN NEW.tenant <> OLD.tenant OR NEW.seq <= OLD.seq BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;

CREATE TRIGGER audit_heads_stay BEFORE DELETE ON audit_heads BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;

-- What the installation signed of the chains.
CREATE TABLE audit_checkpoints (
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    hash BLOB NOT NULL,
    at_us INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (tenant, seq, kind)
) WITHOUT ROWID, STRICT;

CREATE TRIGGER audit_checkpoints_stay BEFORE UPDATE ON audit_checkpoints BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;

CREATE TRIGGER audit_checkpoints_go_with_a_mark BEFORE DELETE ON audit_checkpoints WHEN NOT EXISTS (
    SELECT 1 FROM audit_checkpoints AS mark WHERE mark.tenant = OLD.tenant AND mark.kind = 'pruned'
        AND (mark.seq > OLD.seq OR (mark.seq = OLD.seq AND OLD.kind <> 'pruned'))
) BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;

-- Keys that content is sealed under, each wrapped by the master key that `master` names. `scope`: of a whole tenant, or of
-- one user (`subject`). `reserved`: how many values may have been sealed. Once `erased_at` is set `wrapped` is empty, and
-- what was sealed under it can be read by nobody.
CREATE TABLE data_keys (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    scope TEXT NOT NULL,
    subject TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    master TEXT NOT NULL,
    reserved INTEGER NOT NULL,
    created_at REAL NOT NULL,
    retired_at REAL,
    erased_at REAL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID, STRICT;

CREATE INDEX data_keys_by_subject ON data_keys (tenant, scope, subject) WHERE erased_at IS NULL;

CREATE UNIQUE INDEX data_keys_current ON data_keys (tenant, scope, subject) WHERE retired_at IS NULL AND erased_at IS NULL;

CREATE INDEX data_keys_of_tenants ON data_keys (tenant, id) WHERE scope = 'tenant';

-- Of the values of secrets, never the values: since when each is in use, and which are revoked. Of the installation, so
-- that a credential that leaked is revoked for all tenants at once.
CREATE TABLE secret_fingerprints (
    fingerprint TEXT NOT NULL,
    reference TEXT NOT NULL,
    seen_at REAL NOT NULL,
    revoked_at REAL,
    revoked_by TEXT,
    reason TEXT,
    cut INTEGER NOT NULL,
    PRIMARY KEY (fingerprint)
) WITHOUT ROWID, STRICT;

-- Tokens of OpenID Connect issuers that are not taken any more. Tenant `*`: in all tenants. Removed once every token that
-- it means has expired (`until`).
CREATE TABLE tokens_revoked (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    "before" REAL NOT NULL,
    until REAL NOT NULL,
    created_at REAL NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID, STRICT;

-- Who may use the installation: a row that is not active lets nobody of its tenant in. `agents` (patterns) and `limits`
-- are JSON. Rows of erased tenants stay, so that nobody takes their place.
CREATE TABLE tenants (
    tenant TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at REAL NOT NULL,
    created_by TEXT NOT NULL,
    keep_days REAL,
    agents TEXT NOT NULL,
    limits TEXT NOT NULL,
    note TEXT NOT NULL,
    changed_at REAL NOT NULL,
    erased_at REAL,
    PRIMARY KEY (tenant)
) WITHOUT ROWID, STRICT;

-- In whose names a tenant's runs are begun, and who of them is not let in.
CREATE TABLE tenant_users (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at REAL NOT NULL,
    created_by TEXT NOT NULL,
    last_seen_at REAL,
    note TEXT NOT NULL,
    erased_at REAL,
    PRIMARY KEY (tenant, id)
) WITHOUT ROWID, STRICT;

CREATE INDEX tenant_users_out ON tenant_users (tenant, id) WHERE state <> 'active';

-- Where a tenant's own credentials for providers are found; never a value.
CREATE TABLE tenant_credentials (
    tenant TEXT NOT NULL,
    provider TEXT NOT NULL,
    reference TEXT NOT NULL,
    created_at REAL NOT NULL,
    created_by TEXT NOT NULL,
    PRIMARY KEY (tenant, provider)
) WITHOUT ROWID, STRICT;
