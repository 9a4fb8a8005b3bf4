"""A relayed call that is over within a second gets its row in `runs` once, at its end.

Until then its lease alone knows of it: a restart finds there what it has to settle. No query ever used the index by
version.
"""

from golive.store.migrations.statements import run

revision = "0003"
down_revision = "0002"
oldest = 3
loses = ""

_UP = """
DROP INDEX runs_by_version;

CREATE INDEX leases_begun ON leases (tenant, run) WHERE seq = 1;
"""
_DOWN = """
DROP INDEX leases_begun;

CREATE INDEX runs_by_version ON runs (tenant, version, run);
"""


def upgrade() -> None:
    """To this schema."""
    run(_UP)


def downgrade() -> None:
    """To the one before."""
    run(_DOWN)
