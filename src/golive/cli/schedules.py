"""`golive schedules`: list, run."""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.running import run as run_to_end
from golive.cli.show import Column, json_text, moment, table

app = typer.Typer(no_args_is_help=True, help="Show which runs begin by the clock, and begin one now.")

_COLUMNS = (
    Column("SCHEDULE"), Column("AGENT"), Column("CRON"), Column("TIME ZONE", drop=2), Column("NEXT (UTC)"),
    Column("LAST (UTC)", drop=3), Column("LAST RUN", drop=1),
)  # fmt: skip


@app.command("list")
def list_schedules(
    config: ConfigOption = None, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False
) -> None:
    """List the schedules of golive.toml: when each begins its next run, and its last one."""

    async def ask() -> list[dict[str, Any]]:
        async with connected(config, url, key) as client:
            found: list[dict[str, Any]] = (await client.call("GET", "/v1/schedules"))["data"]
            return found

    found = run_to_end(ask())
    if as_json:
        json_text({"data": found})
        return
    table(_COLUMNS, [_row(row) for row in found], empty="No schedules: add [schedules.NAME] to golive.toml.")


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    next_at = moment(row["next_at"]) if row["enabled"] else "off"
    last = moment(row["last_at"])
    return row["name"], row["agent"], row["cron"], row["timezone"], next_at, last, row["last_run"] or "-"


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="The schedule's name.")],
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a schedule's run now; its times stay as they are. Where the command starts a server, waits for the end."""

    async def ask() -> dict[str, Any]:
        async with connected(config, url, key) as client:
            answer: dict[str, Any] = await client.call("POST", f"/v1/schedules/{quote(name, safe='')}/run")
            if client.own:
                async for _ in client.stream("GET", f"/v1/runs/{answer['run']}/events"):
                    pass
                answer = await client.call("GET", f"/v1/runs/{answer['run']}")
            return answer

    answer = run_to_end(ask())
    if as_json:
        json_text(answer)
        return
    typer.echo(f"{answer['run']} {answer['outcome'] or answer['state']}")
