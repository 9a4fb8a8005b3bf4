"""How things look in a terminal: tables, moments, amounts, notes. What a run looks like: `frames.py`."""

import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import typer

GAP = 2
"""Blanks between two columns of a table."""
NARROWEST_TEXT = 24
"""A column of prose is not made narrower than this."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Column(NamedTuple):
    """A column of a table.

    `drop`: 0 stays; of the others, the lowest goes first when a terminal is too narrow. `prose`: may be broken into
    lines; whatever else a table holds (ids above all) is never cut, so that it can be copied.
    """

    title: str
    right: bool = False
    drop: int = 0
    prose: bool = False


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]], *, empty: str = "") -> None:
    """Prints a table.

    On a pipe, for other programs: every column, separated by tabs, without a header. In a terminal: as many as fit.

    Args:
        empty: what to say beside it when there are no rows.
    """
    cells = [[safe(" ".join(str(cell).split())) for cell in row] for row in rows]
    if not cells and empty:
        note(empty)
    elif not sys.stdout.isatty():
        for row in cells:
            typer.echo("\t".join(row))
    else:
        _draw(columns, cells, width())


def _draw(columns: Sequence[Column], rows: Sequence[Sequence[str]], available: int) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    widths = [
        max(cell_len(column.title), *(cell_len(row[index]) for row in rows)) for index, column in enumerate(columns)
    ]
    least = [min(wide, NARROWEST_TEXT) if column.prose else wide for column, wide in zip(columns, widths, strict=True)]
    shown = list(range(len(columns)))
    for index in sorted((i for i in shown if columns[i].drop), key=lambda i: columns[i].drop):
        if _total(least, shown) > available:
            shown.remove(index)
    drawn = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for index in shown:
        column = columns[index]
        drawn.add_column(
            Text(column.title), justify="right" if column.right else "left", no_wrap=not column.prose,
            min_width=least[index], overflow="fold",
        )  # fmt: skip
    for row in rows:
        drawn.add_row(*(Text(row[index]) for index in shown))
    Console(width=max(available, _total(least, shown)), highlight=False, soft_wrap=False).print(drawn)


def _total(widths: Sequence[int], shown: Sequence[int]) -> int:
    return sum(widths[index] for index in shown) + GAP * len(shown)


def width() -> int:
    """Columns of the terminal; 80 where it does not say."""
    return shutil.get_terminal_size().columns


def json_text(value: object) -> None:
    """Prints a value as indented JSON."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def moment(at: float | None) -> str:
    """A wall time, UTC: whole on a pipe; in a terminal without the year, which everybody knows."""
    if not at:
        return "-"
    return datetime.fromtimestamp(at, UTC).strftime("%m-%d %H:%M:%S" if sys.stdout.isatty() else "%Y-%m-%d %H:%M:%S")


def count(number: int, thing: str) -> str:
    """`1 step`, `2 steps`."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def note(text: str) -> None:
    """A line beside the answer: on standard error, so that a pipe gets the answer alone."""
    typer.secho(safe(text), dim=True, err=True)


def safe(text: str) -> str:
    """Text of a model, a tool or a provider for a terminal: nothing in it can move the cursor, recolour or reorder."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def short(text: str, most: int) -> str:
    """One line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: max(most, 2) - 1] + "…"
