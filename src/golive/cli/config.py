"""`golive config explain`: every setting with its value, where it comes from, and its default. Changes nothing."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from golive.config.explain import DEFAULT, Value, as_json, select
from golive.config.load import load

app = typer.Typer(no_args_is_help=True)

_WIDTH_OF_FILES = 200
"""Columns of the table when it is not written to a terminal."""


@app.callback()
def _config() -> None:
    """Look at the settings."""


@app.command()
def explain(
    key: Annotated[str | None, typer.Argument(help="A setting or a section, such as server.port or server.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of a table.")] = False,
    config: Annotated[Path | None, typer.Option(help="golive.toml, or the folder it is in.")] = None,
) -> None:
    """Show each setting: value, origin (file and line, environment, default), default, and what it means."""
    loaded = load(config, os.environ)
    values = select(loaded.values, key)
    if json:
        typer.echo(as_json(values).decode())
        return
    _table(values, described=key is not None)
    if loaded.ignored and key is None:
        typer.echo(f"No settings of golive, and ignored: {', '.join(loaded.ignored)}", err=True)


def _table(values: Sequence[Value], *, described: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ["key", "value", "origin", "default"] + (["description"] if described else [])
    for column in columns:
        table.add_column(column, overflow="fold")
    for value in values:
        default = "(required)" if value.required else _shown(value.default)
        style = "dim" if value.origin == DEFAULT else ""
        cells = [value.key, _shown(value.value), value.origin, default]
        table.add_row(*(Text(cell, style=style) for cell in cells + ([value.description] if described else [])))
    Console(width=None if sys.stdout.isatty() else _WIDTH_OF_FILES, highlight=False).print(table)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(str(entry) for entry in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
