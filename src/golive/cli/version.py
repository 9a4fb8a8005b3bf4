"""`golive version`: what a report of a fault should begin with."""

import platform
import sqlite3

import typer

from golive import __version__
from golive.cli.options import JsonOption
from golive.cli.show import json_text


def version(as_json: JsonOption = False) -> None:
    """Show the versions of golive, Python, SQLite and the system."""
    found = {
        "golive": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
    }
    if as_json:
        json_text(found)
        return
    for name, value in found.items():
        typer.echo(f"{name:<7} {value}")
