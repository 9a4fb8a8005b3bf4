"""`golive store verify`: whether all that a store holds agrees, run by run, in one snapshot beside servers.

The journal is the truth; the rest must follow from it. What a journal means is not known here: `Fold` is handed in.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from sqlalchemy import Connection, func, select, text

from golive.core.errors import ContentErased, ContentSealed, GoliveError
from golive.core.events import Event
from golive.store import schema
from golive.store.migrations.tables import describe
from golive.store.ports import RunView
from golive.store.sealed.offline import SEALED_FROM, Master, opener
from golive.store.sealed.values import MARK, plain_event, plain_message
from golive.store.upkeep.copying import SNAPSHOT, Progress, need_there
from golive.store.upkeep.database import Database, nothing_yet

Fold = Callable[[Sequence[Event]], Iterator[Callable[[], RunView]]]
"""Takes in a journal event by event; after each, what gives the run's view as of there."""

Open = Callable[[Event], Event]
"""Gives an event in plain words. Raises ContentSealed, ContentErased."""

_READ_AHEAD = 500
"""Rows of each table that are fetched together."""


class Discrepancy(Struct, frozen=True):
    """Something that does not agree. `run` is "" where it concerns the whole store."""

    tenant: str
    run: str
    check: str
    message: str


class Verdict(Struct, frozen=True):
    """What was looked at, and everything that does not agree.

    `unopened`: runs of which only the frame was looked at: without the master key, or erased, nobody can read them.
    """

    where: str
    schema: int
    runs: int
    events: int
    discrepancies: list[Discrepancy]
    unopened: int = 0


class _Run(Struct):
    """All rows of one run that must agree."""

    tenant: str
    run: str
    epoch: int
    seq: int
    at_rest: bool
    user: str | None
    events: Sequence[Event] = ()
    view: RunView | None = None
    ledger: int = 0
    pending: int = 0
    sealed: bool = False
    """Its events are not in plain words."""


def verify(
    database: Database, fold: Fold, progress: Progress, master: Master | None = None, *, plain: bool = True
) -> Verdict:
    """Looks at every run.

    Args:
        plain: what stands there in plain words may do so, where others would be sealed.
        master: gives the master keys, where content is sealed; None: it stays sealed, and is not folded.

    Raises:
        SchemaMismatch: there is no store, or of a schema that this golive cannot read.
        StoreUnavailable: the database cannot be read.
    """
    need_there(database)
    with database.connected(isolation=SNAPSHOT, writable=database.kind == "postgresql") as connection:
        database.begin(connection)
        found = database.version(connection)
        if found is None:
            raise nothing_yet(database.name, "verify")
        schema.check(database.name, *found)
        opening = opener(connection, found[0], master)
        looking = _Looking(connection, describe(database.kind).tables, fold, opening)
        told = list(looking.strays())
        if not plain and found[0] >= SEALED_FROM:
            told += looking.plain()
        for done, discrepancies in enumerate(looking.runs(), 1):
            told += discrepancies
            if done % _READ_AHEAD == 0 or done == looking.count:
                progress("runs", done, looking.count)
        return Verdict(database.name, found[0], looking.count, looking.events, told, looking.unopened)


class _Looking:
    def __init__(self, connection: Connection, tables: Any, fold: Fold, opening: Open | None) -> None:
        self._connection = connection
        self._tables = tables
        self._fold = fold
        self._opening = opening
        self.events = 0
        self.unopened = 0
        self.count = int(self._rows(select(func.count()).select_from(tables["leases"]))[0][0])

    def strays(self) -> Iterator[Discrepancy]:
        """Rows of runs that there are not. The ledger may have them: it stays when a run is removed."""
        if len(self._rows(select(self._tables["installation"]))) != 1:
            yield Discrepancy("", "", "installation", "The table installation has not exactly one row.")
        for name in ("events", "runs", "decisions", "outbox"):
            query = (  # of no tenant is the place of a newest event that was erased (store/sqlite/removal.py)
                f"SELECT DISTINCT tenant, run FROM {name} WHERE tenant <> '' AND NOT EXISTS ("  # noqa: S608 - ours
                f"SELECT 1 FROM leases WHERE leases.tenant = {name}.tenant AND leases.run = {name}.run"
                ") ORDER BY tenant, run"
            )
            for tenant, run in self._connection.execute(text(query)):
                yield Discrepancy(tenant, run, "lease", f"There are {name} of the run, and no lease.")

    def plain(self) -> Iterator[Discrepancy]:
        """What is not sealed: of each run the first event, and each message."""
        events = self._tables["events"].c
        query = select(*(events[name] for name in Event.__struct_fields__)).where(
            events.key_id.is_(None), events.tenant != ""
        )
        last = ("", "")
        for row in self._stream(query.order_by(events.tenant, events.run, events.seq)):
            event = Event(*row)
            if (event.tenant, event.run) != last:
                last = event.tenant, event.run
                yield Discrepancy(*last, "sealed", plain_event(event).message)
        messages = "SELECT tenant, run, id FROM outbox WHERE substr(body, 1, 8) <> :mark ORDER BY tenant, id"
        for tenant, run, id_ in self._connection.execute(text(messages), {"mark": MARK}):
            yield Discrepancy(tenant, run, "sealed", plain_message(tenant, id_).message)

    def runs(self) -> Iterator[list[Discrepancy]]:
        """What does not agree, run by run. One pass over each table in the order of its key: one run is in memory."""
        leases, views = self._tables["leases"].c, self._tables["runs"].c
        ledger, decisions, events = (self._tables[name].c for name in ("ledger", "decisions", "events"))
        names = RunView.__struct_fields__
        listed = self._sorted(select(*(views[name] for name in names)), views)
        spent = self._sorted(
            select(ledger.tenant, ledger.run, func.sum(ledger.amount_microusd)).group_by(ledger.tenant, ledger.run),
            ledger,
        )
        asked = self._sorted(select(decisions.tenant, decisions.run).where(decisions.choice.is_(None)), decisions)
        journal = self._sorted(select(*(events[name] for name in Event.__struct_fields__)), events, events.seq)
        columns = (leases.tenant, leases.run, leases.epoch, leases.seq, leases.at_rest, leases.user)
        for row in self._stream(select(*columns).order_by(leases.tenant, leases.run)):
            run = _Run(*row)
            key = (run.tenant, run.run)
            run.events = [Event(*event) for event in journal.of(key)]
            for view in listed.of(key):
                run.view = RunView(**dict(zip(names, view, strict=True)))
            run.ledger = sum(int(amount) for _, _, amount in spent.of(key))
            run.pending = len(asked.of(key))
            self.events += len(run.events)
            yield [*self._open(run), *check(run, self._fold)]

    def _open(self, run: _Run) -> Iterator[Discrepancy]:
        """Puts the run's events in plain words, or notes that nobody can."""
        if all(event.key_id is None for event in run.events):
            return
        run.sealed = True
        if self._opening is None:
            self.unopened += 1
            return
        try:
            run.events = [event if event.key_id is None else self._opening(event) for event in run.events]
            run.sealed = False
        except ContentErased:
            self.unopened += 1
        except ContentSealed as error:
            yield Discrepancy(run.tenant, run.run, "sealed", error.message)

    def _sorted(self, query: Any, columns: Any, *further: Any) -> "_Sorted":
        return _Sorted(self._stream(query.order_by(columns.tenant, columns.run, *further)))

    def _stream(self, query: Any) -> Iterator[Any]:
        return iter(self._connection.execute(query.execution_options(yield_per=_READ_AHEAD)))

    def _rows(self, query: Any) -> list[Any]:
        return list(self._connection.execute(query))


class _Sorted:
    """Rows that begin with tenant and run, in that order; both databases and Python order text alike."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def of(self, key: tuple[str, str]) -> list[Any]:
        """The rows of `key`; those of lesser keys are passed over (`strays` tells of them)."""
        found = []
        while self._next is not None and (self._next[0], self._next[1]) <= key:
            if (self._next[0], self._next[1]) == key:
                found.append(self._next)
            self._next = next(self._rows, None)
        return found


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
    if run.sealed:
        return
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
    for name, message in _follows(run, view):
        yield told(name, message)


def _follows(run: _Run, view: RunView) -> Iterator[tuple[str, str]]:
    """In what ledger and lease depart from the journal's view: the check, and what is told."""
    if run.ledger != view.cost_microusd:
        yield "ledger", f"The ledger holds {run.ledger} microusd, the journal {view.cost_microusd}."
    if run.user != view.user:
        yield "lease", f"The lease says that the run is of the user {run.user}, the journal of {view.user}."
    finished = view.state == "finished"
    if finished and not run.at_rest:
        yield "lease", "The run has finished, and its lease is not at rest."
    if run.at_rest and not finished and not run.pending:
        yield "lease", "The lease is at rest, and the run has neither finished nor waits for a decision."


def _folded(run: _Run, fold: Fold) -> tuple[RunView, str] | None:
    """The view that follows from the journal, and in what the row departs from it ("" if in nothing).

    The row of an open run is as of some earlier event: not each append brings it. In a conversation it says besides
    whether the run has its turn (`running`) or waits for it (`queued`), which no event does.
    """
    view: Callable[[], RunView] | None = None
    found = False
    for view in fold(run.events):
        if run.view is not None and not found and not run.at_rest:
            found = _differences(run.view, _in_line(run.view, view())) == ""
    if view is None:
        return None
    last = view()
    if run.view is None:
        late = last.state != "finished" and last.source == "relay"  # such a row comes once, at the run's end
        return last, "" if late else "The run has no row in the list of runs."
    return last, "" if found else _differences(run.view, last)


def _in_line(row: RunView, view: RunView) -> RunView:
    turns = ("queued", "running")
    return replace(view, state=row.state) if row.conversation and {row.state, view.state} <= set(turns) else view


def _differences(row: RunView, view: RunView) -> str:
    fields = [name for name in RunView.__struct_fields__ if getattr(row, name) != getattr(view, name)]
    told = [f"{name} is {getattr(row, name)!r} and should be {getattr(view, name)!r}" for name in fields[:5]]
    return f"In the list of runs {'; '.join(told)}." if told else ""
