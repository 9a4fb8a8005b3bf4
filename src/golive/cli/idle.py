"""Says which settings have no effect."""

from collections.abc import Iterable

import typer

from golive.cli.show import safe
from golive.config.problems import Problem


def tell_idle(settings: Iterable[Problem]) -> None:
    """One line each on standard error, with file and line."""
    for setting in settings:
        typer.secho(safe(f"warning: {setting.line()}"), fg=typer.colors.YELLOW, err=True)
