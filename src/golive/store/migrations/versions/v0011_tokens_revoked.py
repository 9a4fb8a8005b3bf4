"""Tokens of OpenID Connect issuers that are not taken any more: one, a user's, or an issuer's."""

from alembic import op

from golive.store.migrations.statements import run

revision = "0011"
down_revision = "0010"
oldest = 9
loses = "which tokens are revoked: those that have not expired are taken again"

_TABLE = """
CREATE TABLE tokens_revoked (
    tenant {text} NOT NULL,
    id {text} NOT NULL,
    issuer {text} NOT NULL,
    kind {text} NOT NULL,
    value {text} NOT NULL,
    before {real} NOT NULL,
    until {real} NOT NULL,
    created_at {real} NOT NULL,
    created_by {text} NOT NULL,
    PRIMARY KEY (tenant, id)
){ending};
"""
_SQLITE = {"text": "TEXT", "real": "REAL", "ending": " WITHOUT ROWID, STRICT"}
_POSTGRES = {"text": 'TEXT COLLATE "C"', "real": "DOUBLE PRECISION", "ending": ""}


def upgrade() -> None:
    """To this schema."""
    run(_TABLE.format(**(_SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRES)))


def downgrade() -> None:
    """To the one before."""
    run("DROP TABLE tokens_revoked;")
