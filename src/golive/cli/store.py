"""`golive store`: the database's schema."""

import os

import typer

from golive.cli.options import ConfigOption
from golive.config.load import load
from golive.core.clock import SystemClock
from golive.store.sqlite.store import SqliteStore

app = typer.Typer(no_args_is_help=True, help="Look after the database.")


@app.callback()
def _group() -> None:
    """Look after the database."""


@app.command()
def migrate(config: ConfigOption = None) -> None:
    """Bring the schema of an older golive's database up to this one's."""
    import asyncio

    path = load(config, os.environ).store_path
    store = SqliteStore.open(path, clock=SystemClock(), migrate=True)
    asyncio.run(store.close())
    typer.echo(f"{path}: the schema is up to date")
