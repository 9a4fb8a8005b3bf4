"""`golive check`: provoke what production brings, show the evidence, answer GO, CONDITIONAL or NO-GO."""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from golive.checklist.engine import prove
from golive.checklist.registry import Check, load
from golive.checklist.report import Report
from golive.checklist.target import Remote, Target
from golive.checklist.terminal import Progress, listing, summary
from golive.cli.lifeline import LifelineOption, end_with_stdin
from golive.cli.options import ConfigOption
from golive.cli.running import run
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.errors import GoliveError

EXIT_USAGE = 2
"""Nothing was checked: wrong options, an unusable configuration, or no server at the address."""


def check(
    target: Annotated[
        str | None, typer.Option("--target", help="Server to check.", show_default="a twin of your configuration")
    ] = None,
    key: Annotated[str, typer.Option("--key", envvar="GOLIVE_KEY", help="API key of the target.")] = "",
    agent: Annotated[
        str | None, typer.Option("--agent", help="Agent, or with --target model, to ask.", show_default="the first")
    ] = None,
    config: ConfigOption = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Checks whose id begins so, such as GW-1; may be repeated.")
    ] = None,
    compact: Annotated[bool, typer.Option("--compact", help="One line for each check that passed.")] = False,
    list_: Annotated[bool, typer.Option("--list", help="List the checks and what each needs.")] = False,
    json_: Annotated[
        str | None, typer.Option("--json", help="Write the report with all evidence to FILE; - for standard output.")
    ] = None,
    until_stdin_closes: LifelineOption = False,
) -> None:
    """Provoke what production brings, and answer GO or NO-GO with evidence.

    Without --target a twin is checked: your configuration in a folder of its own against a simulated provider, where
    faults can be injected; nothing of yours is touched and nobody is charged. A running server is only asked.

    Exit code 0 GO, 1 NO-GO, 3 CONDITIONAL, 2 when nothing was checked.
    """
    if until_stdin_closes:
        end_with_stdin()
    console = Console(stderr=json_ == "-")
    try:
        registry = load()
        if list_:
            listing(registry.select(only or ()), console)
            return
        checks = registry.select(only or ())
        left_out = len(registry) - len(checks)
        report = run(_prove(checks, left_out, console, target, key, agent, config, compact))
    except GoliveError as error:
        from golive.cli.main import tell

        tell(error)
        raise typer.Exit(EXIT_USAGE) from None
    summary(report, console, compact=compact)
    _write(report, json_, console)
    raise typer.Exit(report.exit_code)


async def _prove(
    checks: list[Check],
    left_out: int,
    console: Console,
    url: str | None,
    key: str,
    agent: str | None,
    config: Path | None,
    compact: bool,
) -> Report:
    with Progress(console, compact=compact) as progress:
        progress.say("starting a twin" if url is None else f"looking at {url}")
        async with _target(url, key, agent, config) as (target, file):
            what = f"a twin of {file}" if file else target.url
            console.print(
                f"Checking {what} ({target.model}) with {len(checks)} checks", highlight=False, soft_wrap=True
            )
            return await prove(checks, target, left_out=left_out, config=file, progress=progress)


@asynccontextmanager
async def _target(
    url: str | None, key: str, agent: str | None, config: Path | None
) -> AsyncIterator[tuple[Target, str | None]]:
    """The target, and golive.toml if it is a twin's."""
    clock = SystemClock()
    if url is not None:
        async with Remote.at(url, key, clock, agent=agent) as remote:
            yield remote, None
        return
    from golive.checklist.twin import twin
    from golive.cli.idle import tell_idle
    from golive.config.load import load as load_config

    environ = dict(os.environ)
    loaded = load_config(config, environ)
    tell_idle(loaded.idle)
    async with twin(loaded, environ, clock=clock, chance=SystemChance(), agent=agent) as found:
        yield found, str(loaded.root / "golive.toml")


def _write(report: Report, to: str | None, console: Console) -> None:
    if to is None:
        return
    if to == "-":
        sys.stdout.write(report.json().decode())
        return
    try:
        Path(to).write_bytes(report.json())
    except OSError as error:
        typer.echo(f"error: the report cannot be written to {to}: {error.strerror}.", err=True)
        raise typer.Exit(EXIT_USAGE) from None
    console.print(f"\nThe report with all evidence: {to}", highlight=False, soft_wrap=True)
