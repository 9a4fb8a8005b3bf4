"""The keys that content is sealed under: from here on journals and messages hold ciphertext.

A server of the schema before cannot read what one of this schema writes, so all are stopped first. What was written
before stays as it is, and readable.
"""

from alembic import op
from sqlalchemy import text

from golive.core.errors import StoreError
from golive.store.migrations.statements import run

revision = "0009"
down_revision = "0008"
oldest = 9
loses = ""

_TABLE = """
CREATE TABLE data_keys (
    tenant     {text} NOT NULL,
    id         {text} NOT NULL,
    scope      {text} NOT NULL,
    subject    {text} NOT NULL,
    wrapped    {blob} NOT NULL,
    master     {text} NOT NULL,
    reserved   {whole} NOT NULL,
    created_at {real} NOT NULL,
    retired_at {real},
    erased_at  {real},
    PRIMARY KEY (tenant, id)
){ending};

CREATE UNIQUE INDEX data_keys_current ON data_keys (tenant, scope, subject) {where};
"""
_WHERE = "WHERE retired_at IS NULL AND erased_at IS NULL"
_SQLITE = {"text": "TEXT", "blob": "BLOB", "whole": "INTEGER", "real": "REAL", "ending": " STRICT, WITHOUT ROWID"}
_POSTGRES = {
    "text": 'TEXT COLLATE "C"', "blob": "BYTEA", "whole": "BIGINT", "real": "DOUBLE PRECISION", "ending": "",
}  # fmt: skip


def upgrade() -> None:
    """To this schema; roles and policies are made anew by `golive store migrate` itself."""
    types = _SQLITE if op.get_bind().dialect.name == "sqlite" else _POSTGRES
    run(_TABLE.format(where=_WHERE, **types))


def downgrade() -> None:
    """To the one before.

    Raises:
        StoreError: content is sealed: without the keys, and for a golive of that schema, it would be lost.
    """
    sealed = op.get_bind().execute(text("SELECT count(*) FROM events WHERE key_id IS NOT NULL")).scalar_one()
    if sealed:
        raise StoreError(
            f"{sealed} events are sealed: a golive of schema 8 could read none of them.",
            remedy="Stay at schema 9, or restore a backup of before.", sealed=sealed,
        )  # fmt: skip
    run("DROP TABLE data_keys;")
