"""The audit log: who did what, chained by hashes, with signed checkpoints."""

from alembic import op

from golive.store.migrations.statements import run

revision = "0008"
down_revision = "0007"
oldest = 6
loses = "the audit log"

# ruff: noqa: S608 - no value is put into these
_SAYS = "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;"
_SQLITE = f"""
CREATE TABLE audit (
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at_us INTEGER NOT NULL,
    actor TEXT NOT NULL,
    home TEXT NOT NULL,
    verb TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    outcome TEXT NOT NULL,
    source TEXT NOT NULL,
    route TEXT NOT NULL,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (tenant, seq)
) WITHOUT ROWID, STRICT;

CREATE TRIGGER audit_stays BEFORE UPDATE ON audit {_SAYS}

CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE tenant = NEW.tenant AND seq = NEW.seq) {_SAYS}

CREATE TRIGGER audit_goes_with_a_mark BEFORE DELETE ON audit WHEN NOT EXISTS (
    SELECT 1 FROM audit_checkpoints WHERE tenant = OLD.tenant AND kind = 'pruned' AND seq >= OLD.seq
) {_SAYS}

CREATE TABLE audit_heads (
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (tenant)
) WITHOUT ROWID, STRICT;

CREATE TRIGGER audit_heads_rise BEFORE UPDATE ON audit_heads
WHEN NEW.tenant <> OLD.tenant OR NEW.seq <= OLD.seq {_SAYS}

CREATE TRIGGER audit_heads_stay BEFORE DELETE ON audit_heads {_SAYS}

CREATE TABLE audit_checkpoints (
    tenant TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    hash BLOB NOT NULL,
    at_us INTEGER NOT NULL,
    key_id TEXT NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (tenant, seq, kind)
) WITHOUT ROWID, STRICT;

CREATE TRIGGER audit_checkpoints_stay BEFORE UPDATE ON audit_checkpoints {_SAYS}

CREATE TRIGGER audit_checkpoints_go_with_a_mark BEFORE DELETE ON audit_checkpoints WHEN NOT EXISTS (
    SELECT 1 FROM audit_checkpoints AS mark WHERE mark.tenant = OLD.tenant AND mark.kind = 'pruned'
        AND (mark.seq > OLD.seq OR (mark.seq = OLD.seq AND OLD.kind <> 'pruned'))
) {_SAYS}
"""
_POSTGRES = """
CREATE TABLE audit (
    tenant TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    at_us BIGINT NOT NULL,
    actor TEXT COLLATE "C" NOT NULL,
    home TEXT COLLATE "C" NOT NULL,
    verb TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    outcome TEXT COLLATE "C" NOT NULL,
    source TEXT COLLATE "C" NOT NULL,
    route TEXT COLLATE "C" NOT NULL,
    detail TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (tenant, seq)
);

CREATE TABLE audit_heads (
    tenant TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (tenant)
);

CREATE TABLE audit_checkpoints (
    tenant TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    hash BYTEA NOT NULL,
    at_us BIGINT NOT NULL,
    key_id TEXT COLLATE "C" NOT NULL,
    signature BYTEA NOT NULL,
    PRIMARY KEY (tenant, seq, kind)
);
"""
_DOWN = """
DROP TABLE audit;

DROP TABLE audit_heads;

DROP TABLE audit_checkpoints;
"""


def upgrade() -> None:
    """To this schema."""
    run(_SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRES)


def downgrade() -> None:
    """To the one before."""
    run(_DOWN)
    if op.get_bind().dialect.name != "sqlite":
        run("DROP FUNCTION IF EXISTS golive_audit_kept();")
