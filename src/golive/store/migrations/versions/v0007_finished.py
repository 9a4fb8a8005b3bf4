"""Old runs are found by when they finished: pruning read all runs each minute.

While PostgreSQL builds the index, writes wait: about a second for a million runs.
"""

from golive.store.migrations.statements import run

revision = "0007"
down_revision = "0006"
oldest = 6
loses = ""


def upgrade() -> None:
    """To this schema."""
    run("CREATE INDEX runs_finished ON runs (finished_at) WHERE finished_at IS NOT NULL;")


def downgrade() -> None:
    """To the one before."""
    run("DROP INDEX runs_finished;")
