"""Each schema says which is the oldest server schema that may run on it; messages are found by their webhook.

Up to here a server ran on its own schema alone. Now servers are replaced one by one. PostgreSQL begins with this one.
"""

from golive.store.migrations.statements import run

revision = "0006"
down_revision = "0005"
oldest = 6
loses = ""

# Made anew, not altered: SQLite adds no column that must be given and has no default.
_UP = """
CREATE TABLE stated (
    version    INTEGER NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    applied_at REAL    NOT NULL,
    oldest     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO stated SELECT version, name, applied_at, version FROM schema_version;

DROP TABLE schema_version;

ALTER TABLE stated RENAME TO schema_version;

DROP INDEX outbox_due;

CREATE INDEX outbox_due ON outbox (target, due_at) WHERE state = 'due';

-- Some files have it already: for some days it belonged to the schema before.
CREATE INDEX IF NOT EXISTS outbox_by_target ON outbox (tenant, target, state, at);
"""
_DOWN = """
DROP INDEX outbox_by_target;

DROP INDEX outbox_due;

CREATE INDEX outbox_due ON outbox (due_at) WHERE state = 'due';

ALTER TABLE schema_version DROP COLUMN oldest;
"""


def upgrade() -> None:
    """To this schema."""
    run(_UP)


def downgrade() -> None:
    """To the one before."""
    run(_DOWN)
