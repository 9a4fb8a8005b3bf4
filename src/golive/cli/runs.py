"""`golive runs`: list, show, tail, cancel, resume, retry, fork, decide."""

from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import typer

from golive.cli.client import Client, StreamBroken, connected
from golive.cli.frames import RunPrinter
from golive.cli.nearest import doubt
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.running import run as run_to_end
from golive.cli.show import Column, json_text, moment, note, table
from golive.core.events import Outcome, State
from golive.core.money import usd_text

app = typer.Typer(no_args_is_help=True, help="List, show, follow and steer runs.")
RunArgument = Annotated[str, typer.Argument(help="The run's id.")]

PAGE = 200
"""Runs asked for at once; the server gives no more."""
EVENTS_PAGE = 1_000

_COLUMNS = (
    Column("RUN"), Column("AGENT"), Column("VERSION", drop=1), Column("STATUS"), Column("REASON", drop=3),
    Column("STEPS", right=True, drop=2), Column("COST", right=True), Column("CREATED (UTC)", drop=4),
)  # fmt: skip


@app.command("list")
def list_runs(
    agent: Annotated[str | None, typer.Option(help="Only this agent's.")] = None,
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    outcome: Annotated[Outcome | None, typer.Option(help="Only those that ended so.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Only those of this conversation.")] = None,
    source: Annotated[
        Literal["agent", "relay"] | None, typer.Option(help="Only agents' runs, or only relayed model calls.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only those for this user of the tenant.")] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1)] = 20,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List runs, newest first."""
    where = {
        "agent": agent, "state": state, "outcome": outcome, "conversation": conversation, "source": source,
        "user": user,
    }  # fmt: skip
    wanted = {name: str(value) for name, value in where.items() if value is not None}

    async def ask() -> tuple[list[dict[str, Any]], str]:
        async with connected(config, url, key) as client:
            runs = await _pages(client, wanted, limit)
            return runs, await doubt(client, agent) if agent and not runs else ""

    found, doubtful = run_to_end(ask())
    if as_json:
        json_text({"data": found})
        return
    table(_COLUMNS, [_row(row) for row in found], empty=f"No runs. {doubtful}".rstrip())


async def _pages(client: Client, wanted: dict[str, str], limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    before: dict[str, str] = {}
    while len(found) < limit:
        query = wanted | before | {"limit": str(min(PAGE, limit - len(found)))}
        page = await client.call("GET", f"/v1/runs?{urlencode(query)}")
        found += page["data"]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    return found


def _row(row: dict[str, Any]) -> tuple[object, ...]:
    reason = row.get("reason") or "-"
    return (
        row["run"], row["agent"], row["version_name"] or "-", row.get("outcome") or row["state"],
        "-" if reason == "done" else reason, row["steps"], _cost(row), moment(row["created_at"]),
    )  # fmt: skip


def _cost(row: dict[str, Any]) -> str:
    """`~$0.01` where something of it is an estimate; a cost that nobody knows is not shown as nothing."""
    if not row.get("priced", True):
        return "unknown" if not row["cost_microusd"] else f">{usd_text(row['cost_microusd'])}"
    return ("~" if row.get("estimated") else "") + usd_text(row["cost_microusd"])


@app.command()
def show(
    run: RunArgument,
    events: Annotated[bool, typer.Option("--events", help="The whole journal instead of the result.")] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Show a run's result, or its journal, as JSON."""

    async def ask() -> dict[str, Any]:
        async with connected(config, url, key) as client:
            if events:
                return {"data": await _journal(client, run)}
            answer: dict[str, Any] = await client.call("GET", _path(run))
            return answer

    answer = run_to_end(ask())
    json_text(answer)
    if not events and (line := _caching(answer)):
        note(line)


def _caching(result: dict[str, Any]) -> str:
    """What caches did for a run, in a line; "" where there was none."""
    usage, saved = result["usage"], result["saved_microusd"]
    size, read, written = (usage.get(f"{part}_tokens", 0) for part in ("input", "cached_input", "cache_write"))
    if not read and not written and not saved:
        return ""
    rate = f"{read / size:.0%}" if size else "0%"
    gain = f"saved {usd_text(saved)}" if saved >= 0 else f"cost {usd_text(-saved)} more"
    return f"cache: {read} of {size} input tokens read ({rate}), {written} written, {gain}"


async def _journal(client: Client, run: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = await client.call("GET", f"{_path(run)}/events?format=json&limit={EVENTS_PAGE}&after={after}")
        events += page["data"]
        after = page["next"]
    return events


@app.command()
def tail(
    run: RunArgument,
    last_event_id: Annotated[str, typer.Option("--from", help="Resume behind this event id, such as 1-42.")] = "",
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Follow a run's stream to its end, from the beginning or from where you were."""

    async def follow() -> None:
        printer = RunPrinter()
        printer.run = run
        async with connected(config, url, key) as client:
            try:
                path = f"{_path(run)}/events"
                async for event in client.stream("GET", path, last_event_id=last_event_id):
                    printer.frame(event.event, event.data, event.id)
            except StreamBroken as error:
                error.remedy = f"Go on with: golive runs tail {run} --from {printer.last_event_id}"
                raise
            finally:
                printer.close()

    run_to_end(follow())


@app.command()
def cancel(
    run: RunArgument,
    reason: Annotated[str, typer.Option(help="Why; the user is shown it.")] = "",
    undo: Annotated[
        bool, typer.Option("--undo", help="Have taken back what its tools did, where they say how.")
    ] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a run; its text so far stays. A run that has ended already stays as it is."""

    answer = _posted(run, "cancel", {"reason": reason, "undo": undo}, config, url, key)
    _told(answer, as_json)
    if answer["outcome"] != "cancelled":
        note(f"It had ended already: nothing was cancelled{' or taken back' if undo else ''}.")


@app.command()
def resume(
    run: RunArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Also in the middle of a tool call, whose outcome may not be known then.")
    ] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go on with a run at the server that is asked, whoever holds it: for a run whose server hangs.

    In the middle of a tool call that is refused without --force: the server that has the run may be at work.
    """
    _told(_posted(run, "resume", {"force": force}, config, url, key), as_json)


@app.command()
def retry(
    run: RunArgument,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a new run in the background with the same input, agent and conversation, once this one has ended."""
    _told(_posted(run, "retry", {}, config, url, key), as_json)


@app.command()
def fork(
    run: RunArgument,
    step: Annotated[int, typer.Option(help="The first of the run's steps that is made anew.", min=1)],
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Begin a new run in the background that knows what this one knew before a step.

    What tools did before that step is not done again; from that step on they are called again, under new keys. Of calls
    that were taken back since, the new run is told so.
    """
    _told(_posted(run, "fork", {"step": step}, config, url, key), as_json)


@app.command()
def decide(
    run: RunArgument,
    decision: Annotated[str, typer.Argument(help="The decision's id; `golive decisions` lists them.")],
    choice: Annotated[str, typer.Argument(help="One of its choices.")],
    note: Annotated[str, typer.Option(help="Why; kept in the run's journal.")] = "",
    content: Annotated[
        str, typer.Option(help="Where a call is said to be done: what the model is told of its result.")
    ] = "",
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a choice that a run waits for; it goes on at once."""
    body = {"choice": choice, "note": note, "content": content}
    _told(_posted(run, f"decisions/{quote(decision, safe='')}", body, config, url, key), as_json)


def _posted(
    run: str, what: str, body: dict[str, Any], config: Path | None, url: str | None, key: str | None
) -> dict[str, Any]:
    async def ask() -> dict[str, Any]:
        async with connected(config, url, key) as client:
            answer: dict[str, Any] = await client.call("POST", f"{_path(run)}/{what}", body)
            return answer

    return run_to_end(ask())


def _told(answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        json_text(answer)
    else:
        typer.echo(f"{answer['run']} {answer['outcome'] or answer['state']}")


def _path(run: str) -> str:
    return f"/v1/runs/{quote(run, safe='')}"
