"""Erasing, and giving out what there is, on the store itself: beside running servers, or without one.

Servers that run let nobody of the erased in within a second, and stop what they carry of theirs: its rows are gone, so
nothing more of it is written. `golive tenants` and `golive users` call this; `golive tenants erasures` lives here.
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from msgspec.structs import replace

from golive.audit.acting import CLI, writing
from golive.cli.options import ConfigOption
from golive.cli.running import run
from golive.cli.show import count, json_text, note
from golive.config.load import load
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.store.audit import INSTALLATION, AuditEntry
from golive.store.opening import open_store
from golive.store.ports import Store
from golive.store.sealed.opening import seal
from golive.telemetry.logs import configure
from golive.tenants.erasure import Eraser, ErasureReport, Record
from golive.tenants.exporting import exported

_NOT_PROVED = 1


def add_to(app: typer.Typer) -> None:
    """Puts the command into the group `golive tenants`."""
    app.command("erasures")(list_erasures)


def list_erasures(
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Only those that are to be finished.")] = False,
    config: ConfigOption = None,
) -> None:
    """List who was erased, as JSON lines. Keep them apart from backups: `golive store restore --erasures FILE`."""

    async def work() -> list[Any]:
        async with _opened(config) as (store, _):
            found = store.erasures
            return list(await (found.unfinished(100_000) if unfinished else found.all()))

    for erasure in run(work()):
        sys.stdout.buffer.write(msgspec.json.encode(erasure) + b"\n")
    sys.stdout.flush()


def erase(config: Path | None, tenant: str, user: str | None) -> ErasureReport:
    """Erases a user of a tenant, or (None) the tenant. Raises as `Eraser.erase`."""

    async def work() -> ErasureReport:
        async with _opened(config) as (_, eraser):
            return await eraser.erase(tenant, user, CLI)

    return run(work())


def export(config: Path | None, tenant: str, user: str | None) -> None:
    """Writes all that is kept of them to standard output. Raises as `exported`."""

    async def work() -> None:
        async with _opened(config) as (store, _):
            async for line in exported(store, tenant, user, SystemClock()):
                sys.stdout.buffer.write(line)
        sys.stdout.flush()

    run(work())


def tell(report: dict[str, Any], as_json: bool) -> None:
    """Prints what was done, as a server or `erase` gave it. Raises Exit(1) where it is not proved."""
    if as_json:
        json_text(report)
    else:
        whose = report["user"] if report["user"] is not None else report["tenant"]
        removed = ", ".join(count(rows, table.removesuffix("s")) for table, rows in report["removed"].items() if rows)
        typer.echo(f"{whose}\t{'erased' if report['proved'] else 'NOT PROVED'}")
        note(f"Removed: {removed or 'nothing'}; {count(report['keys_destroyed'], 'data key')} destroyed.")
        standing = sum(report["standing"].values())
        found = "" if report["in_files"] is None else f", {report['in_files']} stand in the database's files"
        note(
            f"Looked at afterwards: {count(standing, 'row')} left; of {count(report['sampled'], 'stored value')} "
            f"{report['opened']} can still be opened{found}."
        )
        for said in report["remains"]:
            note(f"What stays: {said}")
    if not report["proved"]:
        raise typer.Exit(_NOT_PROVED)


def in_both(record: Record) -> Record:
    """Makes each entry in the tenant's log, and in the installation's: it is an act of whoever runs the platform."""

    async def recorded(entry: AuditEntry) -> None:
        await record(entry)
        if entry.tenant != INSTALLATION:
            await record(replace(entry, tenant=INSTALLATION, detail={**entry.detail, "in_tenant": entry.tenant}))

    return recorded


@asynccontextmanager
async def _opened(config: Path | None) -> AsyncIterator[tuple[Store, Eraser]]:
    loaded = load(config, os.environ)
    how, clock, chance = loaded.config.secrets, SystemClock(), SystemChance()
    secrets = Secrets(loaded.root, os.environ, aws=how.aws, vault=how.vault)
    plain = await open_store(loaded.config.store.url, loaded.root, clock)
    try:
        log = configure("error", "json", None, clock=clock)
        store = await seal(plain, secrets, loaded.root, how, clock, chance, log)
        async with writing(loaded, secrets, store.audit, clock, chance) as audit:
            yield store, Eraser(store, clock, in_both(audit.record), log)
    finally:
        await plain.close()
