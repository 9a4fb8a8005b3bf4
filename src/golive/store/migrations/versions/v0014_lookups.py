"""The audit log is searched by time, and data keys are found by whose they are, without reading what else there is.

While PostgreSQL builds the indexes, entries of the audit log and new data keys wait.
"""

from golive.store.migrations.statements import run

revision = "0014"
down_revision = "0013"
oldest = 9
loses = ""


def upgrade() -> None:
    """To this schema."""
    run("""
CREATE INDEX audit_by_time ON audit (tenant, at_us, seq);
CREATE INDEX data_keys_of_tenants ON data_keys (tenant, id) WHERE scope = 'tenant';
CREATE INDEX data_keys_by_subject ON data_keys (tenant, scope, subject) WHERE erased_at IS NULL;
""")


def downgrade() -> None:
    """To the one before."""
    run("DROP INDEX audit_by_time; DROP INDEX data_keys_of_tenants; DROP INDEX data_keys_by_subject;")
