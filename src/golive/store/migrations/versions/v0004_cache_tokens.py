"""Tokens that a call wrote to a provider's cache, and what caches saved of a run's cost.

Earlier journals tell of neither.
"""

from golive.store.migrations.statements import run

revision = "0004"
down_revision = "0003"
oldest = 4
loses = "how many tokens were written to providers' caches, and what caches saved"

_UP = """
ALTER TABLE ledger ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN cache_write_tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE runs ADD COLUMN saved_microusd INTEGER NOT NULL DEFAULT 0;
"""
_DOWN = """
ALTER TABLE runs DROP COLUMN saved_microusd;

ALTER TABLE runs DROP COLUMN cache_write_tokens;

ALTER TABLE ledger DROP COLUMN cache_write_tokens;
"""


def upgrade() -> None:
    """To this schema."""
    run(_UP)


def downgrade() -> None:
    """To the one before."""
    run(_DOWN)
