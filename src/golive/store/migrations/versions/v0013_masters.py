"""Servers say which master keys they have, so that nothing is wrapped under one that a server cannot open."""

from alembic import op

from golive.store.migrations.statements import run

revision = "0013"
down_revision = "0012"
oldest = 9
loses = "which master keys running servers have: they say so again when they start"


def upgrade() -> None:
    """To this schema."""
    text = "TEXT" if op.get_bind().dialect.name == "sqlite" else 'TEXT COLLATE "C"'
    run(f"ALTER TABLE holders ADD COLUMN masters {text} NOT NULL DEFAULT '';")


def downgrade() -> None:
    """To the one before."""
    run("ALTER TABLE holders DROP COLUMN masters;")
