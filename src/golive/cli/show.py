"""How things look in a terminal: a run's frames as they come, tables, moments, amounts."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import typer

from golive.core.money import usd_text


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, right: frozenset[int] = frozenset()) -> None:
    """Prints a table; on a pipe, columns separated by tabs without a header, for other programs."""
    if not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(str(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for index, header in enumerate(headers):
        drawn.add_column(header, justify="right" if index in right else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(str(cell) for cell in row))
    Console().print(drawn)


def json_text(value: object) -> None:
    """Prints a value as indented JSON."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def moment(at: float | None) -> str:
    """A wall time as people read it, UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if at else "-"


def note(text: str) -> None:
    """A line beside the answer: on standard error, so that a pipe gets the answer alone."""
    typer.secho(text, dim=True, err=True)


class RunPrinter:
    """Prints a run's frames: the answer to standard output as it streams, everything else beside it."""

    def __init__(self) -> None:
        self.result: dict[str, Any] = {}
        self._open_line = False

    def frame(self, event: str, data: bytes) -> None:
        """Takes one server-sent event."""
        fields: dict[str, Any] = msgspec.json.decode(data)
        match event:
            case "text.delta":
                sys.stdout.write(fields["text"])
                sys.stdout.flush()
                self._open_line = not fields["text"].endswith("\n")
            case "tool.started":
                self._beside(f"→ {fields['name']} {fields['arguments']}")
            case "tool.finished":
                took = f"{fields['latency_ms']:.0f} ms"
                mark = "✓" if fields["ok"] else "✗"
                self._beside(f"{mark} {fields['name']} ({took}) {_short(fields['content'])}")
            case "model.failed":
                self._beside(f"✗ {fields['target']} failed: {fields['code']}: {_short(fields['message'])}")
            case "text.reset":
                self._beside(f"(the text is taken back to {fields['pos']})")
            case "error":
                self._beside(f"error: {fields['message']} {fields.get('remedy', '')}")
            case "run.finished":
                self.result = fields
                self._end(fields)
            case _:
                pass

    def _beside(self, text: str) -> None:
        if self._open_line:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._open_line = False
        note(text)

    def _end(self, result: dict[str, Any]) -> None:
        if result["message"]:
            self._beside(result["message"])
        seconds = (result["finished_at"] or 0) - result["created_at"]
        usage = result["usage"]
        tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
        cost = usd_text(result["cost_microusd"]) if result["priced"] else "price unknown"
        self._beside(
            f"{result['outcome']} · {seconds:.2f} s · {_count(result['steps'], 'step')} · "
            f"{_count(result['tool_calls'], 'tool call')} · {tokens} tokens · {cost} · {result['run']}"
        )


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _short(text: str, most: int = 100) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"
