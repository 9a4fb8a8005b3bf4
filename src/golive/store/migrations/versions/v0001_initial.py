"""The first schema."""

from golive.store.migrations.statements import run

revision = "0001"
down_revision = None
oldest = 1

_UP = """
CREATE TABLE schema_version (
    version    INTEGER NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    applied_at REAL    NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: which installation this is. `generation` rises when a backup is restored, `control_version` whenever keys or
-- other control state change, `pings` when somebody asks whether the store can be written.
CREATE TABLE installation (
    only            INTEGER NOT NULL PRIMARY KEY CHECK (only = 1),
    id              TEXT    NOT NULL,
    generation      INTEGER NOT NULL,
    control_version INTEGER NOT NULL,
    created_at      REAL    NOT NULL,
    pings           INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Who may write to a run, and where it stands: the one row that decides whether an append is taken.
CREATE TABLE leases (
    tenant  TEXT    NOT NULL,
    run     TEXT    NOT NULL,
    branch  TEXT    NOT NULL,
    version TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    seq     INTEGER NOT NULL,
    holder  TEXT    NOT NULL,
    at      REAL    NOT NULL,
    PRIMARY KEY (tenant, run)
) STRICT, WITHOUT ROWID;

-- Rows stand in the order they were written, and the primary key is an index beside them: a group of appends to many
-- runs fills a few pages at the table's end. Kept in the order of the key (WITHOUT ROWID) it touched one page a run, so
-- that rows over 1 KB spilled into pages of their own: two to five times the processor time and the disk writes.
CREATE TABLE events (
    tenant  TEXT    NOT NULL,
    run     TEXT    NOT NULL,
    seq     INTEGER NOT NULL,
    epoch   INTEGER NOT NULL,
    branch  TEXT    NOT NULL,
    version TEXT    NOT NULL,
    at      REAL    NOT NULL,
    kind    TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    key_id  TEXT,
    PRIMARY KEY (tenant, run, seq)
) STRICT;

CREATE TABLE ledger (
    tenant              TEXT    NOT NULL,
    run                 TEXT    NOT NULL,
    branch              TEXT    NOT NULL,
    version             TEXT    NOT NULL,
    epoch               INTEGER NOT NULL,
    seq                 INTEGER NOT NULL,
    at                  REAL    NOT NULL,
    kind                TEXT    NOT NULL,
    target              TEXT    NOT NULL,
    amount_microusd     INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    reasoning_tokens    INTEGER NOT NULL
) STRICT;
CREATE INDEX ledger_by_run ON ledger (tenant, run);

CREATE TABLE outbox (
    tenant  TEXT    NOT NULL,
    run     TEXT    NOT NULL,
    branch  TEXT    NOT NULL,
    version TEXT    NOT NULL,
    epoch   INTEGER NOT NULL,
    id      TEXT    NOT NULL,
    at      REAL    NOT NULL,
    topic   TEXT    NOT NULL,
    body    BLOB    NOT NULL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

-- Run ids sort by time, so the primary key read backwards is "newest first".
CREATE TABLE runs (
    tenant              TEXT    NOT NULL,
    run                 TEXT    NOT NULL,
    branch              TEXT    NOT NULL,
    version             TEXT    NOT NULL,
    epoch               INTEGER NOT NULL,
    agent               TEXT    NOT NULL,
    version_name        TEXT    NOT NULL,
    source              TEXT    NOT NULL,
    conversation        TEXT,
    principal           TEXT    NOT NULL,
    state               TEXT    NOT NULL,
    outcome             TEXT,
    reason              TEXT,
    created_at          REAL    NOT NULL,
    started_at          REAL,
    finished_at         REAL,
    steps               INTEGER NOT NULL,
    tool_calls          INTEGER NOT NULL,
    input_tokens        INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    output_tokens       INTEGER NOT NULL,
    reasoning_tokens    INTEGER NOT NULL,
    cost_microusd       INTEGER NOT NULL,
    priced              INTEGER NOT NULL,
    PRIMARY KEY (tenant, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_conversation ON runs (tenant, conversation, run) WHERE conversation IS NOT NULL;
CREATE INDEX runs_by_version ON runs (tenant, version, run);
CREATE INDEX runs_open ON runs (created_at, tenant, run) WHERE state <> 'finished';

CREATE TABLE versions (
    tenant     TEXT NOT NULL,
    agent      TEXT NOT NULL,
    name       TEXT NOT NULL,
    digest     TEXT NOT NULL,
    created_at REAL NOT NULL,
    PRIMARY KEY (tenant, agent, name)
) STRICT, WITHOUT ROWID;

-- API keys: never the secret, only its HMAC.
CREATE TABLE keys (
    tenant       TEXT NOT NULL,
    id           TEXT NOT NULL,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL,
    mac          BLOB NOT NULL,
    created_at   REAL NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   REAL,
    revoked_at   REAL,
    last_used_at REAL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;
"""


def upgrade() -> None:
    """To this schema."""
    run(_UP)
