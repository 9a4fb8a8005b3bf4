"""`golive store verify`: whether all that a store holds agrees, run by run, in one snapshot beside servers.

The journal is the truth; the rest must follow from it. What a journal means is not known here: `Fold` is handed in.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, Table, func, select, text, tuple_

from golive.core.errors import GoliveError
from golive.core.events import Event
from golive.store import schema
from golive.store.migrations.tables import describe
from golive.store.ports import RunView
from golive.store.upkeep.copying import SNAPSHOT, Progress, need_there
from golive.store.upkeep.database import Database

Fold = Callable[[Sequence[Event]], Iterator[Callable[[], RunView]]]
"""Takes in a journal event by event; after each, what gives the run's view as of there."""

_PAGE = 200
"""Runs that are looked at together."""


class Discrepancy(Struct, frozen=True):
    """Something that does not agree. `run` is "" where it concerns the whole store."""

    tenant: str
    run: str
    check: str
    message: str


class Verdict(Struct, frozen=True):
    """What was looked at, and everything that does not agree."""

    where: str
    schema: int
    runs: int
    events: int
    discrepancies: list[Discrepancy]


class _Run(Struct):
    """All rows of one run that must agree."""

    tenant: str
    run: str
    epoch: int
    seq: int
    at_rest: bool
    events: Sequence[Event] = ()
    view: RunView | None = None
    ledger: int = 0
    pending: int = 0


def verify(database: Database, fold: Fold, progress: Progress) -> Verdict:
    """Looks at every run.

    Raises:
        SchemaMismatch: there is no store, or of a schema that this golive cannot read.
        StoreUnavailable: the database cannot be read.
    """
    need_there(database)
    with database.connected(isolation=SNAPSHOT, writable=database.kind == "postgresql") as connection:
        database.begin(connection)
        found = database.version(connection) or (0, 0)
        schema.check(database.name, *found)
        looking = _Looking(connection, describe(database.kind).tables, fold)
        told = list(looking.strays())
        for done, discrepancies in looking.runs():
            told += discrepancies
            progress("runs", done, looking.count)
        return Verdict(database.name, found[0], looking.count, looking.events, told)


class _Looking:
    def __init__(self, connection: Connection, tables: Any, fold: Fold) -> None:
        self._connection = connection
        self._tables = tables
        self._fold = fold
        self.events = 0
        self.count = int(self._rows(select(func.count()).select_from(tables["leases"]))[0][0])

    def strays(self) -> Iterator[Discrepancy]:
        """Rows of runs that there are not. The ledger may have them: it stays when a run is removed."""
        if len(self._rows(select(self._tables["installation"]))) != 1:
            yield Discrepancy("", "", "installation", "The table installation has not exactly one row.")
        for name in ("events", "runs", "decisions", "outbox"):
            query = (
                f"SELECT DISTINCT tenant, run FROM {name} WHERE NOT EXISTS (SELECT 1 FROM leases "  # noqa: S608 - ours
                f"WHERE leases.tenant = {name}.tenant AND leases.run = {name}.run) ORDER BY tenant, run"
            )
            for tenant, run in self._connection.execute(text(query)):
                yield Discrepancy(tenant, run, "lease", f"There are {name} of the run, and no lease.")

    def runs(self) -> Iterator[tuple[int, list[Discrepancy]]]:
        """How many runs are done, and what does not agree among those of the page."""
        leases = self._tables["leases"].c
        done, last = 0, ("", "")
        while True:
            page = self._rows(
                select(leases.tenant, leases.run, leases.epoch, leases.seq, leases.at_rest)
                .where(tuple_(leases.tenant, leases.run) > last)
                .order_by(leases.tenant, leases.run)
                .limit(_PAGE)
            )
            if not page:
                return
            runs = {(row[0], row[1]): _Run(*row) for row in page}
            first, last = (page[0][0], page[0][1]), (page[-1][0], page[-1][1])
            self._fill(runs, first, last)
            done += len(page)
            yield done, [found for run in self._with_events(runs, first, last) for found in check(run, self._fold)]

    def _fill(self, runs: dict[tuple[str, str], _Run], first: tuple[str, str], last: tuple[str, str]) -> None:
        views, ledger, decisions = (self._tables[name] for name in ("runs", "ledger", "decisions"))
        names = RunView.__struct_fields__
        for row in self._between(select(*(views.c[name] for name in names)), views, first, last):
            if (row[0], row[1]) in runs:
                runs[row[0], row[1]].view = RunView(**dict(zip(names, row, strict=True)))
        spent = select(ledger.c.tenant, ledger.c.run, func.sum(ledger.c.amount_microusd))
        for tenant, run, amount in self._between(spent, ledger, first, last, grouped=True):
            if (tenant, run) in runs:
                runs[tenant, run].ledger = int(amount)
        pending = select(decisions.c.tenant, decisions.c.run, func.count()).where(decisions.c.choice.is_(None))
        for tenant, run, count in self._between(pending, decisions, first, last, grouped=True):
            if (tenant, run) in runs:
                runs[tenant, run].pending = int(count)

    def _with_events(
        self, runs: dict[tuple[str, str], _Run], first: tuple[str, str], last: tuple[str, str]
    ) -> Iterator[_Run]:
        """The runs, each with its journal: one journal is in memory at a time."""
        table = self._tables["events"]
        columns = [table.c[name] for name in Event.__struct_fields__]
        query = self._within(select(*columns), table, first, last).order_by(table.c.tenant, table.c.run, table.c.seq)
        rows = self._connection.execute(query.execution_options(yield_per=1_000))
        for key, group in groupby((Event(*row) for row in rows), lambda event: (event.tenant, event.run)):
            run = runs.pop(key, None)
            if run is not None:
                run.events = list(group)
                self.events += len(run.events)
                yield run
        yield from runs.values()

    def _between(
        self, query: Any, table: Table, first: tuple[str, str], last: tuple[str, str], grouped: bool = False
    ) -> list[Any]:
        query = self._within(query, table, first, last)
        return self._rows(query.group_by(table.c.tenant, table.c.run) if grouped else query)

    def _within(self, query: Any, table: Table, first: tuple[str, str], last: tuple[str, str]) -> Any:
        key = tuple_(table.c.tenant, table.c.run)
        return query.where(key >= first, key <= last)

    def _rows(self, query: Any) -> list[Any]:
        return list(self._connection.execute(query))


def check(run: _Run, fold: Fold) -> Iterator[Discrepancy]:
    """What does not agree within one run."""

    def told(name: str, message: str) -> Discrepancy:
        return Discrepancy(run.tenant, run.run, name, message)

    numbers = [event.seq for event in run.events]
    if numbers != list(range(1, len(numbers) + 1)):
        missing = sorted(set(range(1, (numbers[-1] if numbers else 0) + 1)) - set(numbers))
        yield told("journal", f"Events are missing: {', '.join(map(str, missing[:5])) or 'all'}.")
    if run.seq != (numbers[-1] if numbers else 0):
        yield told("lease", f"The lease stands at seq {run.seq}, the journal at {numbers[-1] if numbers else 0}.")
    epochs = [event.epoch for event in run.events]
    if epochs != sorted(epochs) or (epochs and epochs[-1] > run.epoch):
        yield told("lease", f"An event was written under another epoch than was its turn (the lease's is {run.epoch}).")
    try:
        folded = _folded(run, fold)
    except (GoliveError, ValueError, KeyError, IndexError) as error:
        yield told("journal", f"The journal cannot be read: {error}.")
        return
    if folded is None:
        return
    view, differences = folded
    if differences:
        yield told("view", differences)
    if run.ledger != view.cost_microusd:
        yield told("ledger", f"The ledger holds {run.ledger} microusd, the journal {view.cost_microusd}.")
    finished = view.state == "finished"
    if finished and not run.at_rest:
        yield told("lease", "The run has finished, and its lease is not at rest.")
    if run.at_rest and not finished and not run.pending:
        yield told("lease", "The lease is at rest, and the run has neither finished nor waits for a decision.")


def _folded(run: _Run, fold: Fold) -> tuple[RunView, str] | None:
    """The view that follows from the journal, and in what the row departs from it ("" if in nothing).

    The row of an open run is as of some earlier event: not each append brings it.
    """
    view: Callable[[], RunView] | None = None
    found = False
    for view in fold(run.events):
        if run.view is not None and not found and not run.at_rest:
            found = _differences(run.view, view()) == ""
    if view is None:
        return None
    last = view()
    if run.view is None:
        late = last.state != "finished" and last.source == "relay"  # such a row comes once, at the run's end
        return last, "" if late else "The run has no row in the list of runs."
    return last, "" if found else _differences(run.view, last)


def _differences(row: RunView, view: RunView) -> str:
    fields = [name for name in RunView.__struct_fields__ if getattr(row, name) != getattr(view, name)]
    told = [f"{name} is {getattr(row, name)!r} and should be {getattr(view, name)!r}" for name in fields[:5]]
    return f"In the list of runs {'; '.join(told)}." if told else ""
