"""`golive demo`: the whole promise in a minute, on this machine, without a key."""

import asyncio
import os
import sys
from typing import Annotated, Any

import aiohttp
import typer

from golive.cli.client import Client
from golive.cli.demo_stage import Live, Stage, live_provider
from golive.cli.show import RunPrinter
from golive.core.money import usd_text

CONVERSATIONS = (
    "Hello, where is my order A-1042?",
    "Which lamp products do you have in stock?",
    "Please refund 59 dollars on order A-1043.",
)


def demo(
    stay: Annotated[bool, typer.Option("--stay", help="Keep serving afterwards, until Ctrl-C.")] = False,
    live: Annotated[bool, typer.Option("--live", help="Use a real provider: OPENAI_API_KEY, or --base-url.")] = False,
    local: Annotated[
        bool, typer.Option("--local", help="Use a real small model on this machine (extra `local`).")
    ] = False,
    base_url: Annotated[str | None, typer.Option(help="With --live: an OpenAI-compatible server.")] = None,
    model: Annotated[str | None, typer.Option(help="With --live: the model to ask.")] = None,
    check: Annotated[bool, typer.Option(help="Run `golive check` at the end.")] = True,
) -> None:
    """Watch a support agent answer through golive while its provider is shot: streams, tools, cost, checks."""
    provider = live_provider(dict(os.environ), base_url, model) if live else None

    async def play() -> int:
        if not local:
            return await _play(provider, stay=stay, check=check)
        from golive.cli.local_model import local_model

        async with local_model() as small:
            return await _play(small, stay=stay, check=check)

    code = asyncio.run(play())
    if code:
        raise typer.Exit(code)


async def _play(live: Live | None, *, stay: bool, check: bool) -> int:
    stage = Stage(live)
    try:
        _title("1  A shop's support agent goes into production")
        await stage.start()
        _say(f"golive serves agent `support` at {stage.address.url}")
        _say("Its tools (Python functions over a SQLite database) run in a worker process, away from every key.")
        if live is None:
            _say("Two model providers, both simulated: primary, and backup behind it in the agent's chain.")
        else:
            _say(f"The model is {live.model} at {live.base_url}.")
        async with aiohttp.ClientSession() as session:
            client = Client(session, stage.address)
            results = await _converse(stage, client)
            await _cost(stage, client, results)
        if check:
            _title("4  Does it keep its promises?  golive check")
            failed = await _check(stage)
        else:
            failed = 0
        _next(stage, stay)
        if stay:
            await asyncio.Event().wait()
        return failed
    finally:
        await stage.close()


async def _converse(stage: Stage, client: Client) -> list[dict[str, Any]]:
    results = []
    _title("2  Two customers ask")
    for number, text in enumerate(CONVERSATIONS):
        if number == 2:
            _title("3  The provider is shot, and a third customer asks")
            if stage.live is None:
                stage.primary.kill()
                _say(f"kill -9 {stage.primary.pid}: provider `primary` is gone.")
            else:
                _say("A real provider is not shot; see that part with plain `golive demo`.")
        typer.secho(f"\n  customer: {text}", bold=True)
        printer = RunPrinter()
        body = {"input": text, "stream": True}
        async for event in client.stream("POST", "/v1/agents/support/runs", body):
            printer.frame(event.event, event.data)
        results.append(printer.result)
    return results


async def _cost(stage: Stage, client: Client, results: list[dict[str, Any]]) -> None:
    total = sum(result["cost_microusd"] for result in results)
    done = sum(result["outcome"] == "completed" for result in results)
    typer.echo()
    _say(f"{done} of {len(results)} completed for {usd_text(total)} in all; every call is metered and in the journal.")
    if stage.live is None:
        await _compare_bills(stage, client, results[2]["run"])


async def _compare_bills(stage: Stage, client: Client, run: str) -> None:
    """The third run's money twice: by golive's journal, and by the bill that the backup provider keeps itself."""
    journal = await client.call("GET", f"/v1/runs/{run}/events?format=json")
    answered = broken = 0
    for event in journal["data"]:
        cost = event["body"].get("cost_microusd", 0)
        answered += cost if event["kind"] == "model.finished" else 0
        broken += cost if event["kind"] == "model.failed" else 0
    address = stage.backup.base_url.removesuffix("/v1") + "/sim/bill"
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        bill = await answer.json()
    billed = usd_text(bill["totals"]["cost_microusd"])
    _say(f"The backup's answers cost {usd_text(answered)} by golive's journal, {billed} by the provider's own bill.")
    if broken:
        _say(f"The call that broke off may be billed too: it is counted at its bound, {usd_text(broken)}.")


async def _check(stage: Stage) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "golive.cli.main", "check", "--config", str(stage.root), env=stage.environ
    )
    return 1 if await process.wait() == 1 else 0


def _next(stage: Stage, stay: bool) -> None:
    _title("What to do next")
    _say("golive new my-agent        writes an agent that runs")
    _say("golive dev                 serves it and reloads it while you edit")
    _say("golive check               proves what production asks of it")
    if stay:
        typer.secho(f"\nStill serving at {stage.address.url} until Ctrl-C:", fg=typer.colors.GREEN)
        typer.echo(f"  export GOLIVE_URL={stage.address.url} GOLIVE_KEY={stage.address.key}")
        typer.echo('  golive run support "Where is order B-2001?"')
        typer.echo(f"  {stage.address.url}/docs (user: anything, password: the key)")


def _title(text: str) -> None:
    typer.secho(f"\n{text}", fg=typer.colors.CYAN, bold=True)


def _say(text: str) -> None:
    typer.echo(f"  {text}")
