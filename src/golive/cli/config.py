"""`golive config explain`: every setting with its value, where it comes from, and its default. Changes nothing."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from golive.cli.idle import tell_idle
from golive.cli.options import ConfigOption, KeyOption
from golive.cli.show import Column, table
from golive.config.explain import DEFAULT, Value, as_json, select
from golive.config.load import load
from golive.config.problems import Problem

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _config() -> None:
    """Look at the settings."""


@app.command()
def explain(
    key: Annotated[
        str | None, typer.Argument(metavar="SETTING", help="A setting or a section, such as server.port or server.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of a table.")] = False,
    config: ConfigOption = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url", help="A running server, by its API (--ca FILE: whom to trust).", show_default="the files here"
        ),
    ] = None,
    api_key: KeyOption = None,
) -> None:
    """Show each setting: value, origin (file and line, environment, default), default, and what it means.

    A secret is shown as the reference it is, with whether it is there; its value is never shown.
    """
    ignored: Sequence[str] = ()
    idle: Sequence[Problem] = ()
    present: dict[str, bool] = {}
    if url is not None:
        values = _served(url, api_key)
    else:
        loaded = load(config, os.environ)
        values, ignored, idle = list(loaded.values), loaded.ignored, loaded.idle
        present = {value.key: _there(str(value.value), loaded.root) for value in values if value.secret and value.value}
        present.pop("secrets.pepper", None)  # golive makes that file itself
    values = select(values, key)
    if json:
        typer.echo(as_json(values).decode())
        return
    if sys.stdout.isatty():
        _sections(values, present, described=key is not None)
    else:
        _lines(values, present)
    if ignored and key is None:
        typer.echo(f"No settings of golive, and ignored: {', '.join(ignored)}", err=True)
    if key is None:
        tell_idle(idle)


def _served(url: str, api_key: str | None) -> list[Value]:
    from golive.cli.client import connected
    from golive.cli.running import run

    async def ask() -> list[Value]:
        async with connected(None, url, api_key) as client:
            answer = await client.call("GET", "/v1/config")
            return msgspec.convert(answer["data"], list[Value])

    return run(ask())


def _there(reference: str, root: Path) -> bool:
    """Whether what a reference names exists; it is not read."""
    kind, _, name = reference.partition(":")
    return bool(os.environ.get(name)) if kind == "env" else (root / name).is_file()


def _lines(values: Sequence[Value], present: Mapping[str, bool]) -> None:
    rows = [
        (value.key, _value(value, present), value.origin, _default(value), " ".join(value.description.split()))
        for value in values
    ]
    table([Column(title) for title in ("KEY", "VALUE", "ORIGIN", "DEFAULT", "MEANING")], rows)


def _sections(values: Sequence[Value], present: Mapping[str, bool], *, described: bool) -> None:
    """For a terminal: a heading a section, so that keys are short and nothing needs to be cut."""
    order = dict.fromkeys(value.key.rpartition(".")[0] for value in values)
    values = [value for section in order for value in values if value.key.rpartition(".")[0] == section]
    names = [value.key.rpartition(".")[2] for value in values]
    wide = max(len(name) for name in names)
    shown = [_value(value, present) for value in values]
    column = min(max(len(text) for text in shown), 40)
    section = None
    for value, name, text in zip(values, names, shown, strict=True):
        here = value.key.rpartition(".")[0]
        if here != section:
            typer.secho(("" if section is None else "\n") + f"[{here}]", bold=True)
            section = here
        unset = value.origin == DEFAULT
        if described:
            typer.secho(f"  # {' '.join(value.description.split())}", dim=True)
        line = f"  {name:<{wide}}  {text:<{column}}  {value.origin}"
        if not unset and not value.required and value.default not in (None, "", value.value):
            line += f" (default {_default(value)})"
        typer.secho(line, dim=unset or None)


def _value(value: Value, present: Mapping[str, bool]) -> str:
    text = _shown(value.value)
    return text if present.get(value.key, True) else f"{text} (not there)"


def _default(value: Value) -> str:
    return "(required)" if value.required else _shown(value.default)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(str(entry) for entry in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
