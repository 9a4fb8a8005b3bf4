"""`golive store`: change the schema, verify, copy, back up, restore. Works on the database itself, without a server."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from golive.cli.master import master_of, plain_of
from golive.cli.options import ConfigOption, JsonOption
from golive.cli.running import run
from golive.cli.show import count, json_text, note, safe
from golive.config.load import load_config
from golive.core.clock import SystemClock

if TYPE_CHECKING:
    from golive.store.upkeep.copying import Progress
    from golive.store.upkeep.database import Database
    from golive.store.upkeep.migrate import Plan

app = typer.Typer(no_args_is_help=True, help="Verify, back up, restore, copy, migrate the database.")
StoreOption = Annotated[
    str | None, typer.Option("--store", help="sqlite:PATH or postgresql://…", show_default="store.url")
]
VerifyOption = Annotated[
    bool, typer.Option("--verify/--no-verify", help="Verify what was written; it reads all of it once more.")
]
T = TypeVar("T")
_DISCREPANCIES = 1
_RECORDS_FROM = 8
"""The first schema with an audit log."""


@app.callback()
def _group() -> None:
    """Verify, back up, restore, copy, migrate the database."""


@app.command()
def migrate(
    to: Annotated[int | None, typer.Option(help="The schema to go to.", show_default="this golive's")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also beside servers that might not survive it.")] = False,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the schema of an older golive's database up to this one's, or back down."""
    from golive.store.upkeep.migrate import migrate

    def tell(plan: "Plan") -> None:
        if not as_json:
            _tell_plan(plan, dry_run)

    database = _database(config, store)
    plan = _carried_out(lambda: migrate(database, SystemClock(), to, dry=dry_run, force=force, tell=tell), database)
    if plan.steps and not dry_run and plan.to >= _RECORDS_FROM:
        _record(config, store, "migrate", {"from": str(plan.now), "to": str(plan.to)})
    if as_json:
        steps = [
            {"version": step.version, "up": step.up, "about": step.about.splitlines()[0], "loses": step.loses}
            for step in plan.steps
        ]
        json_text({"store": plan.where, "from": plan.now, "to": plan.to, "steps": steps, "done": not dry_run})
    elif not plan.steps:
        typer.echo(f"{plan.where}: the schema is up to date ({plan.now})")
    elif not dry_run:
        typer.echo(f"{plan.where}: schema {plan.to} (was {plan.now})")


@app.command()
def verify(config: ConfigOption = None, store: StoreOption = None, as_json: JsonOption = False) -> None:
    """Check that journal, leases, ledger and lists agree. Changes nothing; servers may run. Exits with 1 if not."""
    from golive.runtime.folding import views
    from golive.store.upkeep.verify import verify

    database = _database(config, store)
    with _progress(as_json) as progress:
        given = (database, views, progress, master_of(config))
        verdict = _carried_out(lambda: verify(*given, plain=plain_of(config)), database)
    if as_json:
        json_text(verdict)
    else:
        for found in verdict.discrepancies:
            typer.echo("\t".join((found.tenant or "-", found.run or "-", found.check, safe(found.message))))
        wrong = count(len(verdict.discrepancies), "discrepancy").replace("discrepancys", "discrepancies")
        seen = f"{count(verdict.runs, 'run')}, {count(verdict.events, 'event')}, schema {verdict.schema}"
        note(f"{verdict.where}: {seen}: {wrong if verdict.discrepancies else 'all agree'}")
        if verdict.unopened:
            note(f"Of {count(verdict.unopened, 'run')} only numbers, leases and lists were looked at: their content is")
            note("erased, or sealed under a master key that is not at hand (secrets.master_key).")
    if verdict.discrepancies:
        raise typer.Exit(_DISCREPANCIES)


@app.command()
def copy(
    to: Annotated[str, typer.Option(help="An empty database: sqlite:PATH or postgresql://…")],
    config: ConfigOption = None,
    store: StoreOption = None,
    check: VerifyOption = True,
    as_json: JsonOption = False,
) -> None:
    """Copy the whole store into another database, such as from SQLite to PostgreSQL. No server may run.

    Exits with 1 where the store does not agree (golive store verify); the copy stands, and is as the store is.
    """
    from golive.runtime.folding import views
    from golive.store.upkeep.backup import summed_up
    from golive.store.upkeep.copying import copy
    from golive.store.upkeep.database import Database
    from golive.store.upkeep.verify import verify

    source, target = _database(config, store), Database.of(to, Path.cwd())
    with _progress(as_json) as progress:
        sums = _carried_out(lambda: copy(source, target, progress), source, target)
        _record(config, store, "copy", {"to": target.name})
        master = master_of(config)
        found = _carried_out(lambda: verify(target, views, progress, master), target).discrepancies if check else []
    if as_json:
        json_text({"from": source.name, "to": target.name, "tables": sums, "discrepancies": found})
    else:
        for table in sums:
            typer.echo(f"{table.table}\t{table.rows}\t{table.sum}")
    if found:
        note(f"{target.name} holds all that {source.name} does, and in both something does not agree:")
        note(f"{summed_up(found)} `golive store verify` tells all.")
        raise typer.Exit(_DISCREPANCIES)
    if as_json:
        return
    note(f"{target.name} holds all that {source.name} does. Set store.url, and do not start the old one again.")


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(help="Where to write it.")],
    replace: Annotated[bool, typer.Option("--replace", help="Replace the file, if there is one.")] = False,
    config: ConfigOption = None,
    store: StoreOption = None,
    check: VerifyOption = True,
    as_json: JsonOption = False,
) -> None:
    """Write the store's present state to a file, while servers run. Neither pepper nor master key are in it.

    Exits with 1 where that does not agree (golive store verify); an earlier FILE stays then.
    """
    from golive.runtime.folding import views
    from golive.store.upkeep.backup import backup

    source = _database(config, store)
    with _progress(as_json) as progress:
        made = _carried_out(
            lambda: backup(
                source, file, progress, replace=replace, fold=views if check else None, master=master_of(config)
            ),
            source,
        )
    if made.schema >= _RECORDS_FROM:
        _record(config, store, "backup", {"to": str(file)})
    if as_json:
        json_text(made)
        return
    held = ", ".join(f"{rows} {table}" for table, rows in made.rows.items())
    typer.echo(f"{made.path}: {held}; {made.bytes} bytes, schema {made.schema}, generation {made.generation}")


@app.command()
def restore(
    file: Annotated[Path, typer.Argument(help="What `golive store backup` wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what the store holds now.")] = False,
    erasures: Annotated[
        Path | None, typer.Option(help="What `golive tenants erasures` wrote: it is erased again.")
    ] = None,
    config: ConfigOption = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a backup in the store's place. No server may run; whoever wrote to the store before no longer can.

    What was erased since, as far as the store that is replaced knows, is erased again.
    """
    from golive.store.upkeep.erased import read
    from golive.store.upkeep.restore import restore

    target, since = _database(config, store), read(erasures) if erasures is not None else []
    with _progress(as_json) as progress:
        done = _carried_out(lambda: restore(file, target, SystemClock(), progress, force=force, erasures=since), target)
    detail = {"of": str(file), "generation": str(done.generation), "erased_again": str(done.erased.subjects)}
    _record(config, store, "restore", detail)
    if as_json:
        json_text(done)
        return
    held = ", ".join(f"{rows} {table}" for table, rows in done.of.rows.items())
    typer.echo(f"{done.where}: restored {file} ({held}); generation {done.generation}, schema {done.schema}")
    if done.aside:
        note(f"The damaged file is kept as {done.aside}.")
    if done.replaced:
        note(f"What was there before ({count(done.replaced, 'run')}) is gone.")
    if done.erased.subjects:
        gone = f"{count(done.erased.subjects, 'erasure')}, {count(done.erased.runs, 'run')}"
        note(f"What had been erased was erased again ({gone}).")
    elif done.replaced is None and erasures is None:
        note("Nothing was there that knew what was erased since the backup: if anything was, restore it again with")
        note("--erasures FILE (golive tenants erasures).")
    note(f"{count(done.open_runs, 'run')} to be carried on by the next server; those with effects ask a person first.")
    note("Keys are those of the backup: revoke again what was revoked since (golive keys list).")


def _record(config: Path | None, store: str | None, did: str, detail: dict[str, str]) -> None:
    from golive.cli.store_recorded import record

    record(config, store, did, **detail)


def _database(config: Path | None, store: str | None) -> "Database":
    """The database that the options name: --store as it stands here, or the one of golive.toml."""
    from golive.store.upkeep.database import Database

    if store is not None:
        return Database.of(store, Path.cwd())
    root, loaded = load_config(config, os.environ)
    return Database.of(loaded.store.url, root)


def _carried_out(doing: Callable[[], T], *databases: "Database") -> T:
    """What `doing` returns; a signal ends it, and nothing half done stays behind."""
    from golive.store.upkeep.database import work

    if any(database.kind == "postgresql" for database in databases):
        return run(work(doing))
    # Nothing in it waits for the event loop, which would hear of signals only afterwards.
    before = signal.signal(signal.SIGTERM, _end)
    try:
        return doing()
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _tell_plan(plan: "Plan", dry: bool) -> None:
    for step in plan.steps:
        way = "up to" if step.up else "down from"
        typer.echo(f"{way} {step.version} ({step.name}): {step.about.splitlines()[0]}")
        if not step.up and step.loses:
            typer.echo(f"  loses {step.loses}")
    if plan.steps:
        beside = "servers of the present schema may stay at work" if plan.beside else "stop all servers first"
        note(f"{plan.where}: from schema {plan.now} to {plan.to}{' (dry run)' if dry else ''}; {beside}")


@contextmanager
def _progress(quiet: bool) -> Iterator["Progress"]:
    """How far a long work is, on standard error, where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns: list[Any] = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    bars: dict[str, Any] = {}
    with Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal) as shown:

        def told(name: str, done: int, all_: int) -> None:
            if name not in bars:
                bars[name] = shown.add_task(name, total=all_)
            shown.update(bars[name], completed=done, total=all_)

        yield told
