"""`golive runs`: list, show, tail, cancel."""

import asyncio
from typing import Annotated
from urllib.parse import urlencode

import typer

from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.show import RunPrinter, json_text, moment, table
from golive.core.money import usd_text

app = typer.Typer(no_args_is_help=True, help="List, show, follow and cancel runs.")
RunArgument = Annotated[str, typer.Argument(help="The run's id.")]


@app.command("list")
def list_runs(
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    state: Annotated[str | None, typer.Option(help="queued, running, waiting or finished.")] = None,
    outcome: Annotated[str | None, typer.Option(help="completed, partial, refused, cancelled or failed.")] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=1000)] = 20,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, newest first."""
    wanted = {"agent": agent, "state": state, "outcome": outcome, "limit": limit}
    query = urlencode({name: value for name, value in wanted.items() if value is not None})

    async def ask() -> dict[str, list[dict[str, object]]]:
        async with connected(config, url, key) as client:
            answer: dict[str, list[dict[str, object]]] = await client.call("GET", f"/v1/runs?{query}")
            return answer

    answer = asyncio.run(ask())
    if as_json:
        json_text(answer)
        return
    table(
        ("RUN", "AGENT", "VERSION", "STATE", "OUTCOME", "REASON", "STEPS", "COST", "CREATED (UTC)"),
        [
            (
                row["run"], row["agent"], row["version_name"], row["state"], row.get("outcome") or "-",
                row.get("reason") or "-", row["steps"], usd_text(int(str(row["cost_microusd"]))),
                moment(float(str(row["created_at"]))),
            )
            for row in answer["data"]
        ],
        right=frozenset({6, 7}),
    )  # fmt: skip


@app.command()
def show(
    run: RunArgument,
    events: Annotated[bool, typer.Option("--events", help="The whole journal instead of the result.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show a run's result, or its journal, as JSON."""

    async def ask() -> object:
        async with connected(config, url, key) as client:
            answer: object = await client.call("GET", f"/v1/runs/{run}" + ("/events?format=json" if events else ""))
            return answer

    json_text(asyncio.run(ask()))


@app.command()
def tail(
    run: RunArgument,
    last_event_id: Annotated[str, typer.Option("--from", help="Resume behind this event id.")] = "",
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Follow a run's stream to its end, from the beginning or from where you were."""

    async def follow() -> None:
        printer = RunPrinter()
        async with connected(config, url, key) as client:
            async for event in client.stream("GET", f"/v1/runs/{run}/events", last_event_id=last_event_id):
                printer.frame(event.event, event.data)

    asyncio.run(follow())


@app.command()
def cancel(
    run: RunArgument,
    reason: Annotated[str, typer.Option(help="Why; the user is shown it.")] = "",
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """End a run; its text so far stays."""

    async def ask() -> dict[str, object]:
        async with connected(config, url, key) as client:
            answer: dict[str, object] = await client.call("POST", f"/v1/runs/{run}/cancel", {"reason": reason})
            return answer

    answer = asyncio.run(ask())
    typer.echo(f"{answer['run']} {answer['state']} {answer['outcome']}")
