"""`golive demo`: the whole promise in a minute, on this machine, without a key."""

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer

from golive.checklist.report import EXIT_CODES
from golive.cli.client import Client
from golive.cli.demo_stage import Live, Stage, live_provider
from golive.cli.frames import RunPrinter
from golive.cli.reloading import stopped
from golive.cli.running import run
from golive.cli.show import safe
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

    async def play() -> bool:
        if not local:
            return await _play(provider, stay=stay, check=check)
        from golive.cli.local_model import local_model

        async with local_model() as small:
            return await _play(small, stay=stay, check=check)

    if not run(play()):
        raise typer.Exit(1)


async def _play(live: Live | None, *, stay: bool, check: bool) -> bool:
    """Whether all went as promised."""
    stage = Stage(live)
    try:
        _title("1  A shop's support agent goes into production")
        await stage.start()
        _say(f"golive serves the agent `support` at {stage.address.url}")
        _say("Its tools are Python functions over a SQLite database, in a process of their own.")
        if live is None:
            _say("Its two model providers are simulated: `primary`, and `backup` behind it.")
        else:
            _say(f"Its model is {live.model} at {live.base_url}.")
        async with aiohttp.ClientSession() as session:
            client = Client(session, stage.address)
            results = await _converse(stage, client)
            await _cost(stage, client, results)
        kept = all(result.get("outcome") == "completed" for result in results)
        if check:
            _title("4  Does it keep its promises?  golive check")
            kept = await _check(stage) and kept
        _next(stage, stay)
        if stay:
            async with stopped() as stop:
                await stop.wait()
        return kept
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
                await stage.primary.stop()
                _say(f"kill -9 {stage.primary.pid}: the provider `primary` is gone.")
            else:
                _say("A real provider is not shot; see that part with plain `golive demo`.")
        typer.secho(f"\n  customer  {text}", bold=True)
        printer = RunPrinter(lambda line: typer.secho(f"    {safe(line)}", dim=True), speaker="  agent     ")
        body = {"input": text, "stream": True}
        async for event in client.stream("POST", "/v1/agents/support/runs", body):
            printer.frame(event.event, event.data, event.id)
        results.append(printer.result)
    return results


async def _cost(stage: Stage, client: Client, results: list[dict[str, Any]]) -> None:
    total = sum(result["cost_microusd"] for result in results)
    done = sum(result["outcome"] == "completed" for result in results)
    typer.echo()
    _say(f"{done} of {len(results)} runs completed for {usd_text(total)} in all. Every call is in the journal.")
    if stage.live is None:
        await _compare_bills(stage, client, results[2]["run"])


async def _compare_bills(stage: Stage, client: Client, run_id: str) -> None:
    """The third run's money twice: by golive's journal, and by the bill that the backup provider keeps itself."""
    journal = await client.call("GET", f"/v1/runs/{run_id}/events?format=json")
    answered = broken = 0
    for event in journal["data"]:
        cost = event["body"].get("cost_microusd", 0)
        answered += cost if event["kind"] == "model.finished" else 0
        broken += cost if event["kind"] == "model.failed" else 0
    address = stage.backup.base_url.removesuffix("/v1") + "/sim/bill"
    async with aiohttp.ClientSession() as session, session.get(address) as answer:
        bill = await answer.json()
    billed = usd_text(bill["totals"]["cost_microusd"])
    _say(f"The third run, by golive's journal: {usd_text(answered)}; by the bill that `backup` keeps: {billed}.")
    if broken:
        _say(f"The call that broke off may be billed too: it is counted at its bound, {usd_text(broken)}.")


CHECKS = (
    "GW-1", "GW-2.keys", "GW-3", "GW-10", "GW-11.headers", "GW-11.at-rest", "GW-11.binding", "SEC-1", "SEC-6.worker",
    "SEC-7.recorded", "REL", "RT-1.deadline", "RT-3", "MD-1", "MD-2.cut", "MD-2.down", "MD-7",
)  # fmt: skip
"""What the demo shows of `golive check`, a quarter of a minute: what is proved on the twin itself, and on the one whose
tools enter their effects into a file. Checks that start servers of their own are left to `golive check`."""


async def _check(stage: Stage) -> bool:
    """Whether `golive check` found nothing broken."""
    only = [word for check in CHECKS for word in ("--only", check)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "golive.cli.main", "check", "--compact", "--config", str(stage.root),
        "--until-stdin-closes", *only, env=stage.environ, stdin=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        return await process.wait() in (EXIT_CODES["GO"], EXIT_CODES["CONDITIONAL"])
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def _next(stage: Stage, stay: bool) -> None:
    _title("What to do next")
    if shutil.which("golive") is None:
        _say(f"export PATH={Path(sys.executable).parent}:$PATH   # once, so that `golive` is found")
    for command, meaning in (
        ("golive new my-agent", "write an agent that runs"),
        ("golive dev", "serve it, reloaded while you edit"),
        ("golive check", "all checks, with all evidence: see what it is still missing"),
        ("golive demo --stay", "keep this demo serving, to try it yourself"),
    ):
        _say(f"{command:<20}  {meaning}")
    if stay:
        typer.secho(f"\nStill serving at {stage.address.url} until Ctrl-C. In another terminal:", fg=typer.colors.GREEN)
        typer.echo(f"  export GOLIVE_URL={stage.address.url} GOLIVE_KEY={stage.address.key}")
        typer.echo('  golive run support "Where is order B-2001?"')
        typer.echo(f"In a browser: {stage.address.url}/docs (user: anything, password: the key)")


def _title(text: str) -> None:
    typer.secho(f"\n{text}", fg=typer.colors.CYAN, bold=True)


def _say(text: str) -> None:
    typer.echo(f"  {text}")
