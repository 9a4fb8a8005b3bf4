"""`golive store migrate`: from the schema that there is to another, in one transaction, under a lock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from msgspec import Struct
from sqlalchemy import Connection, text

from golive.core.clock import Clock
from golive.core.errors import InvalidRequest, SchemaMismatch, StoreUnavailable
from golive.store import schema
from golive.store.migrations import steps
from golive.store.migrations.steps import Step
from golive.store.upkeep.database import Database, nothing_yet

_LOCK = 0x676F6C697665  # "golive": whoever changes a schema holds it
_WAIT = "SET LOCAL lock_timeout = '10s'"


class Plan(Struct, frozen=True):
    """What is to be done. `servers`: those that use the database now."""

    where: str
    now: int
    to: int
    steps: list[Step]
    servers: list[str]

    @property
    def beside(self) -> bool:
        """Whether servers of the present schema stay at work while this is done, and afterwards."""
        return self.to >= self.now and all(step.oldest <= self.now for step in self.steps)


def migrate(
    database: Database, clock: Clock, to: int | None = None, *,
    dry: bool = False, force: bool = False, tell: Callable[[Plan], None] = lambda _: None,
) -> Plan:  # fmt: skip
    """Brings the database to schema `to` (None: the one of this golive's servers). All steps stand, or none.

    Args:
        dry: only say what would be done.
        force: also a change that servers of the present schema do not survive, while some use the database.
        tell: is given the plan before its first step.

    Raises:
        SchemaMismatch: there is no store, it is of a newer golive, or no step leads where it is to go.
        StoreUnavailable: servers use the database that would not survive the change; or it cannot be written.
    """
    if not database.exists():
        raise SchemaMismatch(
            f"There is no database {database.name} yet.",
            remedy="`golive serve` makes it; there is nothing to migrate.",
            path=database.name,
        )
    with database.connected() as connection:
        _lock(database, connection)
        plan = _plan(database, connection, to)
        held = _held_off(database, plan) if plan.steps and not plan.beside and not force and not dry else nullcontext()
        with held:
            tell(plan)
            if not dry and plan.steps:
                steps.walk(connection, plan.steps, clock.now())
                database.grant(connection)
                connection.commit()
    return plan


def bring_up(connection: Connection, version: int, now: float) -> None:
    """From schema `version` to this golive's, in the caller's transaction."""
    steps.walk(connection, steps.between(version, schema.VERSION), now)


def _lock(database: Database, connection: Connection) -> None:
    """Nobody else changes the schema until the end of the transaction that this begins."""
    if database.kind == "sqlite":
        database.begin(connection, "EXCLUSIVE")
    else:
        # Waiting for a table behind a long transaction, a change would hold up all that comes after it.
        connection.execute(text(_WAIT))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _plan(database: Database, connection: Connection, to: int | None) -> Plan:
    found = database.version(connection)
    if found is None:
        raise nothing_yet(database.name, "migrate")
    now, newest, first = found[0], steps.newest(), steps.FIRST[database.kind]
    if now > newest:
        raise schema.mismatch(database.name, now, newest, "Use the golive that wrote it, or a newer one.")
    wanted = schema.VERSION if to is None else to
    if not first <= wanted <= newest:
        raise InvalidRequest(
            f"There is no schema {wanted} of {database.kind}.",
            remedy=f"Give one from {first} to {newest}; this golive's servers need {schema.VERSION}.",
            field="to",
            value=wanted,
        )
    return Plan(database.name, now, wanted, steps.between(now, wanted), database.living(connection))


@contextmanager
def _held_off(database: Database, plan: Plan) -> Iterator[None]:
    if plan.servers:
        raise StoreUnavailable(
            f"Servers use {plan.where} ({', '.join(plan.servers[:5])}) and might not survive the change "
            f"from schema {plan.now} to {plan.to}.",
            remedy="Stop them first; or give --force, if you know that all of them can run on it.",
            path=plan.where,
            cause="in use",
        )
    if database.kind == "sqlite":
        with database.without_servers("migrated"):
            yield
    else:
        yield
