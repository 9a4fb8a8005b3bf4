"""The one description of all tables, for SQLite and PostgreSQL: the newest schema.

Column names and their order are those of the structs in core/events.py and store/*.py. Rows that belong to a run
carry tenant, run, branch, version (digest) and epoch; every table of a tenant's data leads with the tenant. The two
databases differ in types, in how rows lie on disk, and in two columns by which PostgreSQL keeps the order of commits.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    Double,
    Identity,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from golive.store.schema import Kind


class Flag(TypeDecorator[bool]):
    """Yes or no: BOOLEAN, and on SQLite, whose strict tables have no such type, an INTEGER of 0 or 1."""

    impl = Boolean
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type in this database."""
        return dialect.type_descriptor(sqlite.INTEGER() if dialect.name == "sqlite" else Boolean())

    def process_bind_param(self, value: bool | None, dialect: Dialect) -> bool | None:
        """PostgreSQL's driver takes nothing but a bool."""
        return None if value is None else bool(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> bool | None:
        """The same from both."""
        return None if value is None else bool(value)


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's xid8."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Its name in SQL."""
        return "XID8"


# Text is compared byte by byte in both: ids sort the same, whatever the locale that a database was made with.
TEXT = Text(collation="C").with_variant(sqlite.TEXT(), "sqlite")
WHOLE = BigInteger().with_variant(sqlite.INTEGER(), "sqlite")
REAL: TypeEngine[Any] = Double().with_variant(sqlite.REAL(), "sqlite")
BLOB = LargeBinary().with_variant(sqlite.BLOB(), "sqlite")
FLAG = Flag()

# ruff: noqa: S608 - no value is put into these
_SAYS = "BEGIN SELECT RAISE(ABORT, 'the audit log is only added to'); END;"
AUDIT_GUARDS = f"""
CREATE TRIGGER audit_stays BEFORE UPDATE ON audit {_SAYS}

CREATE TRIGGER audit_is_not_replaced BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE tenant = NEW.tenant AND seq = NEW.seq) {_SAYS}

CREATE TRIGGER audit_goes_with_a_mark BEFORE DELETE ON audit WHEN NOT EXISTS (
    SELECT 1 FROM audit_checkpoints WHERE tenant = OLD.tenant AND kind = 'pruned' AND seq >= OLD.seq
) {_SAYS}
"""
HEAD_GUARDS = f"""
CREATE TRIGGER audit_heads_rise BEFORE UPDATE ON audit_heads
WHEN NEW.tenant <> OLD.tenant OR NEW.seq <= OLD.seq {_SAYS}

CREATE TRIGGER audit_heads_stay BEFORE DELETE ON audit_heads {_SAYS}
"""
CHECKPOINT_GUARDS = f"""
CREATE TRIGGER audit_checkpoints_stay BEFORE UPDATE ON audit_checkpoints {_SAYS}

CREATE TRIGGER audit_checkpoints_go_with_a_mark BEFORE DELETE ON audit_checkpoints WHEN NOT EXISTS (
    SELECT 1 FROM audit_checkpoints AS mark WHERE mark.tenant = OLD.tenant AND mark.kind = 'pruned'
        AND (mark.seq > OLD.seq OR (mark.seq = OLD.seq AND OLD.kind <> 'pruned'))
) {_SAYS}
"""
"""SQLite has no roles: these keep golive, and whoever goes through it, from changing what was recorded. Whoever has the
file can drop them; what they did is told by the hashes and the signatures."""


def _must(name: str, of: TypeEngine[Any], default: str | None = None) -> Column[Any]:
    given = None if default is None else text(default)
    return Column(name, of, nullable=False, autoincrement=False, server_default=given)


def _may(name: str, of: TypeEngine[Any]) -> Column[Any]:
    return Column(name, of, nullable=True)


def _texts(*names: str) -> list[Column[Any]]:
    return [_must(name, TEXT) for name in names]


def _wholes(*names: str) -> list[Column[Any]]:
    return [_must(name, WHOLE) for name in names]


def _run() -> list[Column[Any]]:
    return [*_texts("tenant", "run", "branch", "version"), *_wholes("epoch")]


class _Tables:
    """Adds tables to one `MetaData`."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.metadata = MetaData()

    def add(
        self, name: str, *parts: Any, key: tuple[str, ...] = (), rowid: bool = False, why: str = "", guards: str = ""
    ) -> Table:
        """A table; `rowid`: SQLite keeps its rows in the order they were written, not in that of the key.

        `guards`: SQLite's triggers; PostgreSQL's are in postgres_roles.sql.
        """
        return Table(
            name, self.metadata, *parts, *([PrimaryKeyConstraint(*key)] if key else []),
            sqlite_strict=True, sqlite_with_rowid=rowid, info={"why": why, "guards": guards},
        )  # fmt: skip

    def index(self, name: str, *columns: Column[Any], where: str | None = None) -> None:
        """An index, over the rows that `where` says alone."""
        only = None if where is None else text(where)
        Index(name, *columns, sqlite_where=only, postgresql_where=only)


def describe(kind: Kind) -> MetaData:
    """All tables with their indexes, in the order in which they are made."""
    tables = _Tables(kind)
    _installation(tables)
    _journal(tables)
    _outbox(tables)
    _runs(tables)
    _control(tables)
    _audit(tables)
    _data_keys(tables)
    _fingerprints(tables)
    _tokens_revoked(tables)
    _tenants(tables)
    return tables.metadata


def _installation(to: _Tables) -> None:
    to.add(
        "schema_version", *_wholes("version"), _must("name", TEXT), _must("applied_at", REAL), *_wholes("oldest"),
        key=("version",),
        why="""
A row for each step; the highest is the schema that there is. `oldest`: the oldest server schema that may run on it.
""",
    )  # fmt: skip
    to.add(
        "installation", *_wholes("only"), _must("id", TEXT), *_wholes("generation", "control_version"),
        _must("created_at", REAL), *_wholes("pings"), CheckConstraint('"only" = 1'),
        key=("only",),
        why="""
One row: which installation this is. `generation` rises when a backup is restored, `control_version` whenever keys or
other control state change, `pings` when somebody asks whether the store can be written.
""",
    )  # fmt: skip
    to.add(
        "holders", _must("holder", TEXT), _must("until", REAL), _must("masters", TEXT, "''"),
        key=("holder",),
        why="""
A server process. Until `until` nobody claims its runs. `masters`: names of the master keys that it has, the present one
first; empty where it has not said.
""",
    )  # fmt: skip
    leases = to.add(
        "leases", *_run(), *_wholes("seq"), _must("holder", TEXT), _must("at", REAL),
        _must("at_rest", FLAG, "0" if to.kind == "sqlite" else "false"), _may("user", TEXT),
        key=("tenant", "run"),
        why="""
Who may write to a run, and where it stands: the one row that decides whether an append is taken. At rest: finished, or
waiting for a decision. `user`: in whose name it was begun.
""",
    )  # fmt: skip
    to.index("leases_by_user", leases.c.tenant, leases.c.user, leases.c.run, where='"user" IS NOT NULL')
    where = "at_rest = 0" if to.kind == "sqlite" else "NOT at_rest"
    to.index("leases_open", leases.c.holder, leases.c.run, where=where)


def _journal(to: _Tables) -> None:
    why = """
Rows stand in the order they were written, and the primary key is an index beside them: a group of appends to many runs
fills a few pages at the table's end. Kept in the order of the key (WITHOUT ROWID) it touched one page a run, and rows
over 1 KB spilled into pages of their own: two to five times the processor time and the disk writes.
"""
    order: list[Column[Any]] = []
    if to.kind == "postgresql":
        why = """
`xid` and `number` are the order of commits, for tails over many runs: an event whose transaction began early and
committed late is not skipped, because readers stop before the oldest transaction that is still open.
"""
        order = [
            Column("xid", TransactionId(), nullable=False, server_default=text("pg_current_xact_id()")),
            Column("number", BigInteger(), Identity(always=True), nullable=False),
        ]
    events = to.add(
        "events", *_texts("tenant", "run"), *_wholes("seq", "epoch"), *_texts("branch", "version"), _must("at", REAL),
        _must("kind", TEXT), _must("body", BLOB), _may("key_id", TEXT), *order,
        key=("tenant", "run", "seq"), rowid=True, why=why,
    )  # fmt: skip
    if order:
        to.index("events_by_commit", events.c.tenant, events.c.xid, events.c.number)
    ledger = to.add(
        "ledger", *_run(), *_wholes("seq"), _must("at", REAL), *_texts("kind", "target"),
        *_wholes("amount_microusd", "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens"),
        _must("cache_write_tokens", WHOLE, "0"),
        rowid=True, why="What was used and what it cost; stays when its run is removed.",
    )  # fmt: skip
    to.index("ledger_by_run", ledger.c.tenant, ledger.c.run)


def _outbox(to: _Tables) -> None:
    outbox = to.add(
        "outbox", *_run(), _must("id", TEXT), _must("at", REAL), *_texts("topic", "target"), _must("due_at", REAL),
        _must("body", BLOB), _must("state", TEXT, "'due'"), _must("attempts", WHOLE, "0"), _may("done_at", REAL),
        _may("last_error", TEXT),
        key=("tenant", "id"), why="What is still to be told to the outside, and what became of it.",
    )  # fmt: skip
    to.index("outbox_due", outbox.c.target, outbox.c.due_at, where="state = 'due'")
    to.index("outbox_by_target", outbox.c.tenant, outbox.c.target, outbox.c.state, outbox.c.at)
    to.index("outbox_by_run", outbox.c.tenant, outbox.c.run)
    decisions = to.add(
        "decisions", *_run(), *_texts("id", "about", "subject", "agent"), _must("asked_at", REAL),
        _must("expires_at", REAL), _must("default", TEXT), _may("choice", TEXT), _may("decided_by", TEXT),
        _may("decided_at", REAL),
        key=("tenant", "id"), why="What a person must decide, and what was decided.",
    )  # fmt: skip
    to.index("decisions_by_run", decisions.c.tenant, decisions.c.run)
    to.index("decisions_pending", decisions.c.expires_at, where="choice IS NULL")


def _runs(to: _Tables) -> None:
    runs = to.add(
        "runs", *_run(), *_texts("agent", "version_name", "source"), _may("conversation", TEXT),
        *_texts("principal", "state"), _may("outcome", TEXT), _may("reason", TEXT), _must("created_at", REAL),
        _may("started_at", REAL), _may("finished_at", REAL), *_wholes("steps", "tool_calls", "input_tokens"),
        *_wholes("cached_input_tokens", "output_tokens", "reasoning_tokens", "cost_microusd"), _must("priced", FLAG),
        _must("estimated", FLAG, "0" if to.kind == "sqlite" else "false"), _must("cache_write_tokens", WHOLE, "0"),
        _must("saved_microusd", WHOLE, "0"), _may("user", TEXT),
        key=("tenant", "run"),
        why="""
The rows that lists read. Run ids sort by time, so the primary key read backwards is "newest first". `estimated`: tokens
and cost hold what no provider reported, counted at its bound.
""",
    )  # fmt: skip
    where = "conversation IS NOT NULL"
    to.index("runs_by_conversation", runs.c.tenant, runs.c.conversation, runs.c.run, where=where)
    to.index("runs_by_user", runs.c.tenant, runs.c.user, runs.c.run, where='"user" IS NOT NULL')
    # Not over `state`: PostgreSQL would write every index anew whenever a run's state changes.
    to.index("runs_finished", runs.c.finished_at, where="finished_at IS NOT NULL")


def _control(to: _Tables) -> None:
    to.add("versions", *_texts("tenant", "agent", "name", "digest"), _must("created_at", REAL),
           key=("tenant", "agent", "name"), why="A name is bound to its digest for good.")  # fmt: skip
    to.add(
        "keys", *_texts("tenant", "id", "name", "role"), _must("mac", BLOB), _must("created_at", REAL),
        _must("created_by", TEXT), _may("expires_at", REAL), _may("revoked_at", REAL), _may("last_used_at", REAL),
        key=("tenant", "id"), why="API keys: never the secret, only its HMAC.",
    )  # fmt: skip
    to.add(
        "schedules", *_texts("tenant", "name", "digest"), _must("next_at", REAL), _may("last_at", REAL),
        _may("last_run", TEXT),
        key=("tenant", "name"), why="When schedules begin their next runs.",
    )  # fmt: skip


def _audit(to: _Tables) -> None:
    audit = to.add(
        "audit", *_texts("tenant"), *_wholes("seq", "at_us"), *_texts("actor", "home", "verb", "kind", "name"),
        *_texts("outcome", "source", "route", "detail"), _must("hash", BLOB),
        key=("tenant", "seq"), guards=AUDIT_GUARDS,
        why="""
Who did what. Each row's hash is over the one before it and the row: none can be changed, removed or moved unseen. Rows
are added and never changed; removed are only those up to a mark (`pruned`) in audit_checkpoints.
""",
    )  # fmt: skip
    to.index("audit_by_time", audit.c.tenant, audit.c.at_us, audit.c.seq)
    to.add(
        "audit_heads", *_texts("tenant"), *_wholes("seq"), _must("hash", BLOB),
        key=("tenant",), guards=HEAD_GUARDS, why="Where each chain ends: whoever adds to it moves this row.",
    )  # fmt: skip
    to.add(
        "audit_checkpoints", *_texts("tenant"), *_wholes("seq"), _must("kind", TEXT), _must("hash", BLOB),
        *_wholes("at_us"), _must("key_id", TEXT), _must("signature", BLOB),
        key=("tenant", "seq", "kind"), guards=CHECKPOINT_GUARDS, why="What the installation signed of the chains.",
    )  # fmt: skip


def _data_keys(to: _Tables) -> None:
    keys = to.add(
        "data_keys", *_texts("tenant", "id", "scope", "subject"), _must("wrapped", BLOB), _must("master", TEXT),
        _must("reserved", WHOLE), _must("created_at", REAL), _may("retired_at", REAL), _may("erased_at", REAL),
        key=("tenant", "id"),
        why="""
Keys that content is sealed under, each wrapped by the master key that `master` names. `scope`: of a whole tenant, or of
one user (`subject`). `reserved`: how many values may have been sealed. Once `erased_at` is set `wrapped` is empty, and
what was sealed under it can be read by nobody.
""",
    )  # fmt: skip
    current = "retired_at IS NULL AND erased_at IS NULL"
    Index(
        "data_keys_current", keys.c.tenant, keys.c.scope, keys.c.subject, unique=True,
        sqlite_where=text(current), postgresql_where=text(current),
    )  # fmt: skip
    to.index("data_keys_of_tenants", keys.c.tenant, keys.c.id, where="scope = 'tenant'")
    to.index("data_keys_by_subject", keys.c.tenant, keys.c.scope, keys.c.subject, where="erased_at IS NULL")


def _fingerprints(to: _Tables) -> None:
    to.add(
        "secret_fingerprints", *_texts("fingerprint", "reference"), _must("seen_at", REAL), _may("revoked_at", REAL),
        _may("revoked_by", TEXT), _may("reason", TEXT), _must("cut", FLAG),
        key=("fingerprint",),
        why="""
Of the values of secrets, never the values: since when each is in use, and which are revoked. Of the installation, so
that a credential that leaked is revoked for all tenants at once.
""",
    )  # fmt: skip


def _tokens_revoked(to: _Tables) -> None:
    to.add(
        "tokens_revoked", *_texts("tenant", "id", "issuer", "kind", "value"), _must("before", REAL),
        _must("until", REAL), _must("created_at", REAL), _must("created_by", TEXT),
        key=("tenant", "id"),
        why="""
Tokens of OpenID Connect issuers that are not taken any more. Tenant `*`: in all tenants. Removed once every token that
it means has expired (`until`).
""",
    )  # fmt: skip


def _tenants(to: _Tables) -> None:
    to.add(
        "tenants", *_texts("tenant", "state"), _must("created_at", REAL), _must("created_by", TEXT),
        _may("keep_days", REAL), *_texts("agents", "limits", "note"), _must("changed_at", REAL),
        _may("erased_at", REAL),
        key=("tenant",),
        why="""
Who may use the installation: a row that is not active lets nobody of its tenant in. `agents` (patterns) and `limits`
are JSON. Rows of erased tenants stay, so that nobody takes their place.
""",
    )  # fmt: skip
    users = to.add(
        "tenant_users", *_texts("tenant", "id", "state"), _must("created_at", REAL), _must("created_by", TEXT),
        _may("last_seen_at", REAL), _must("note", TEXT), _may("erased_at", REAL),
        key=("tenant", "id"), why="In whose names a tenant's runs are begun, and who of them is not let in.",
    )  # fmt: skip
    to.index("tenant_users_out", users.c.tenant, users.c.id, where="state <> 'active'")
    to.add(
        "tenant_credentials", *_texts("tenant", "provider", "reference"), _must("created_at", REAL),
        _must("created_by", TEXT),
        key=("tenant", "provider"), why="Where a tenant's own credentials for providers are found; never a value.",
    )  # fmt: skip
