"""`golive decisions`: what runs wait for a person to decide."""

from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.running import run as run_to_end
from golive.cli.show import Column, json_text, moment, table

_COLUMNS = (
    Column("DECISION"), Column("RUN"), Column("AGENT", drop=1), Column("ABOUT"), Column("TOOL", drop=3),
    Column("CHOICE"), Column("UNTIL (UTC)", drop=2),
)  # fmt: skip
MOST = 200


def decisions(
    run: Annotated[str | None, typer.Option(help="Only this run's.")] = None,
    made: Annotated[bool, typer.Option("--all", help="Also those that are made already.")] = False,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=MOST)] = 50,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what runs wait for; `golive runs decide` makes a choice. What is not decided in time takes its default."""
    wanted = {"limit": str(limit), "pending": "false" if made else "true"} | ({"run": run} if run else {})

    async def ask() -> list[dict[str, Any]]:
        async with connected(config, url, key) as client:
            page = await client.call("GET", f"/v1/decisions?{urlencode(wanted)}")
            found: list[dict[str, Any]] = page["data"]
            return found

    found = run_to_end(ask())
    if as_json:
        json_text({"data": found})
        return
    table(_COLUMNS, [_row(row) for row in found], empty="No run waits for a decision.")


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    choice = row["choice"] or f"- (else {row['default']})"
    return (
        row["id"], row["run"], row["agent"], row["about"], row["subject"] or "-", choice, moment(row["expires_at"]),
    )  # fmt: skip
