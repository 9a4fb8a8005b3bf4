"""Runs that survive their server.

Who lives, what nobody needs to carry on, what a person must decide, what is still to be told to the outside, when
schedules begin their next runs.
"""

from golive.store.migrations.statements import run

revision = "0005"
down_revision = "0004"
oldest = 5
loses = "decisions, messages to webhooks, schedules; runs that wait for a decision end as interrupted at the next start"

_UP = """
-- A server process. Until `until` nobody claims its runs.
CREATE TABLE holders (
    holder TEXT NOT NULL PRIMARY KEY,
    until  REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- At rest: finished, or waiting for a decision.
ALTER TABLE leases ADD COLUMN at_rest INTEGER NOT NULL DEFAULT 0;

UPDATE leases SET at_rest = 1 WHERE EXISTS (
    SELECT 1 FROM runs WHERE runs.tenant = leases.tenant AND runs.run = leases.run AND runs.state = 'finished'
);

DROP INDEX leases_begun;

DROP INDEX runs_open;

CREATE INDEX leases_open ON leases (holder, run) WHERE at_rest = 0;

CREATE TABLE decisions (
    tenant     TEXT    NOT NULL,
    run        TEXT    NOT NULL,
    branch     TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    id         TEXT    NOT NULL,
    about      TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    agent      TEXT    NOT NULL,
    asked_at   REAL    NOT NULL,
    expires_at REAL    NOT NULL,
    "default"  TEXT    NOT NULL,
    choice     TEXT,
    decided_by TEXT,
    decided_at REAL,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX decisions_by_run ON decisions (tenant, run);

CREATE INDEX decisions_pending ON decisions (expires_at) WHERE choice IS NULL;

-- Nothing was ever written to the outbox of earlier schemas.
DROP TABLE outbox;

CREATE TABLE outbox (
    tenant     TEXT    NOT NULL,
    run        TEXT    NOT NULL,
    branch     TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    epoch      INTEGER NOT NULL,
    id         TEXT    NOT NULL,
    at         REAL    NOT NULL,
    topic      TEXT    NOT NULL,
    target     TEXT    NOT NULL,
    due_at     REAL    NOT NULL,
    body       BLOB    NOT NULL,
    state      TEXT    NOT NULL DEFAULT 'due',
    attempts   INTEGER NOT NULL DEFAULT 0,
    done_at    REAL,
    last_error TEXT,
    PRIMARY KEY (tenant, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX outbox_due ON outbox (due_at) WHERE state = 'due';

CREATE INDEX outbox_by_run ON outbox (tenant, run);

CREATE TABLE schedules (
    tenant   TEXT NOT NULL,
    name     TEXT NOT NULL,
    digest   TEXT NOT NULL,
    next_at  REAL NOT NULL,
    last_at  REAL,
    last_run TEXT,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;
"""
_DOWN = """
DROP TABLE schedules;

DROP TABLE outbox;

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

DROP TABLE decisions;

DROP INDEX leases_open;

CREATE INDEX runs_open ON runs (created_at, tenant, run) WHERE state <> 'finished';

CREATE INDEX leases_begun ON leases (tenant, run) WHERE seq = 1;

ALTER TABLE leases DROP COLUMN at_rest;

DROP TABLE holders;
"""


def upgrade() -> None:
    """To this schema."""
    run(_UP)


def downgrade() -> None:
    """To the one before."""
    run(_DOWN)
