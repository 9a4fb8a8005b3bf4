"""Whether tokens and cost of a run hold what no provider reported, counted at its bound.

Journals from before tell it of calls that ended well; broken ones did not say it yet.
"""

from golive.store.migrations.statements import run

revision = "0002"
down_revision = "0001"
oldest = 2
loses = "which runs' tokens and cost are estimates"

_UP = """
ALTER TABLE runs ADD COLUMN estimated INTEGER NOT NULL DEFAULT 0;

UPDATE runs SET estimated = 1 WHERE EXISTS (
    SELECT 1 FROM events
    WHERE events.tenant = runs.tenant AND events.run = runs.run AND events.kind = 'model.finished'
      AND instr(events.body, CAST('"usage_estimated":true' AS BLOB)) > 0
);
"""
_DOWN = """
ALTER TABLE runs DROP COLUMN estimated;
"""


def upgrade() -> None:
    """To this schema."""
    run(_UP)


def downgrade() -> None:
    """To the one before."""
    run(_DOWN)
