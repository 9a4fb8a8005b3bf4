"""The fingerprints of secrets: since when each value is in use, and which are revoked."""

from alembic import op

from golive.store.migrations.statements import run

revision = "0010"
down_revision = "0009"
oldest = 9
loses = "which credentials are revoked, and since when each is in use"

_SQLITE = """
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
"""
_POSTGRES = """
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
"""


def upgrade() -> None:
    """To this schema."""
    run(_SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRES)


def downgrade() -> None:
    """To the one before."""
    run("DROP TABLE secret_fingerprints;")
