"""`golive health`: is it well, and what does it depend on?"""

from typing import Any

import typer

from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.running import run
from golive.cli.show import Column, count, json_text, note, table

_COLUMNS = (
    Column("DEPENDENCY"), Column("KIND", drop=2), Column("STATE"), Column("MS", right=True, drop=1),
    Column("DETAIL", prose=True),
)  # fmt: skip


def health(
    config: ConfigOption = None, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """Show the state of a server and of each dependency. Exit code 1 when one is down."""

    async def ask() -> dict[str, Any]:
        async with connected(config, url, key) as client:
            answer: dict[str, Any] = await client.call("GET", "/health", accept=(503,))
            return answer

    answer = run(ask())
    if as_json:
        json_text(answer)
    else:
        rows = [
            (entry["name"], entry["kind"], entry["state"], _ms(entry.get("latency_ms")), entry.get("detail", ""))
            for entry in answer["dependencies"]
        ]
        table(_COLUMNS, rows)
        note(f"{answer['status']} · golive {answer['version']} · {count(answer['open_runs'], 'open run')}")
        if pending := answer.get("decisions_pending"):  # an older server does not say
            note(f"{count(pending, 'decision')} to be made: golive decisions")
    if answer["status"] != "up":
        raise typer.Exit(1)


def _ms(latency: float | None) -> str:
    return "-" if latency is None else f"{latency:.1f}"
