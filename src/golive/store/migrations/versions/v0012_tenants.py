"""Tenants and their users have rows, and runs say in whose name they were begun.

A tenant that keys, runs or data keys name gets its row, active, and so does `default`. Servers of the schemas before go
on working and let everybody in: whom this one's servers do not let in is kept out once the others have been replaced.
"""

from alembic import op
from sqlalchemy import text

from golive.store.migrations.statements import run
from golive.store.schema import FIRST_TENANT

revision = "0012"
down_revision = "0011"
oldest = 9
loses = (
    "tenants and users with what they may: those suspended or erased are let in again; tenants' own credentials; "
    "in whose name runs were begun"
)

_TABLES = """
ALTER TABLE leases ADD COLUMN "user" {text};

ALTER TABLE runs ADD COLUMN "user" {text};

CREATE INDEX leases_by_user ON leases (tenant, {user}, run) WHERE "user" IS NOT NULL;

CREATE INDEX runs_by_user ON runs (tenant, {user}, run) WHERE "user" IS NOT NULL;

CREATE TABLE tenants (
    tenant {text} NOT NULL,
    state {text} NOT NULL,
    created_at {real} NOT NULL,
    created_by {text} NOT NULL,
    keep_days {real},
    agents {text} NOT NULL,
    limits {text} NOT NULL,
    note {text} NOT NULL,
    changed_at {real} NOT NULL,
    erased_at {real},
    PRIMARY KEY (tenant)
){ending};

CREATE TABLE tenant_users (
    tenant {text} NOT NULL,
    id {text} NOT NULL,
    state {text} NOT NULL,
    created_at {real} NOT NULL,
    created_by {text} NOT NULL,
    last_seen_at {real},
    note {text} NOT NULL,
    erased_at {real},
    PRIMARY KEY (tenant, id)
){ending};

CREATE INDEX tenant_users_out ON tenant_users (tenant, id) WHERE state <> 'active';

CREATE TABLE tenant_credentials (
    tenant {text} NOT NULL,
    provider {text} NOT NULL,
    reference {text} NOT NULL,
    created_at {real} NOT NULL,
    created_by {text} NOT NULL,
    PRIMARY KEY (tenant, provider)
){ending};
"""
_SQLITE = {"text": "TEXT", "real": "REAL", "ending": " WITHOUT ROWID, STRICT", "user": "user"}
_POSTGRES = {"text": 'TEXT COLLATE "C"', "real": "DOUBLE PRECISION", "ending": "", "user": '"user"'}
_NAMED = ("keys", "runs", "leases", "data_keys")
"""Tables that name tenants."""
_SEEN = """
ALTER TABLE keys NO FORCE ROW LEVEL SECURITY;

ALTER TABLE runs NO FORCE ROW LEVEL SECURITY;

ALTER TABLE leases NO FORCE ROW LEVEL SECURITY;

ALTER TABLE data_keys NO FORCE ROW LEVEL SECURITY;
"""
"""So that the owner sees all rows, whatever its roles; `golive store migrate` forces it again before it commits."""
_NAMES = " UNION ".join(f"SELECT DISTINCT tenant FROM {table}" for table in _NAMED)  # noqa: S608 - names of ours
_DOWN = """
DROP TABLE tenant_credentials;

DROP TABLE tenant_users;

DROP TABLE tenants;

DROP INDEX runs_by_user;

DROP INDEX leases_by_user;

ALTER TABLE runs DROP COLUMN "user";

ALTER TABLE leases DROP COLUMN "user";

DELETE FROM events WHERE tenant = '' AND run = '';
"""
"""The last line: what keeps the place of the newest event where that was erased (`store/sqlite/removal.py`)."""


def upgrade() -> None:
    """To this schema."""
    sqlite = op.get_bind().dialect.name == "sqlite"
    run(_TABLES.format(**(_SQLITE if sqlite else _POSTGRES)))
    if not sqlite:
        run(_SEEN)
    found = {str(name) for (name,) in op.get_bind().execute(text(_NAMES))}
    now = op.get_bind().execute(text("SELECT max(created_at) FROM installation")).scalar_one() or 0.0
    for name in sorted(found | {"default"}):
        op.get_bind().execute(text(FIRST_TENANT), {"tenant": name, "now": now})


def downgrade() -> None:
    """To the one before."""
    run(_DOWN)
