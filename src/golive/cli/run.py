"""`golive run`: one message to an agent, the answer as it streams, what it took."""

import asyncio
import sys
from typing import Annotated

import typer

from golive.cli.client import connected
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.show import RunPrinter, json_text
from golive.core.errors import InvalidRequest


def run(
    agent: Annotated[str, typer.Argument(help="The agent's name.")],
    text: Annotated[str | None, typer.Argument(help="What to say; standard input when absent.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Conversation to go on with.")] = None,
    deadline_s: Annotated[float | None, typer.Option("--deadline", help="Longest run, in seconds.")] = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send one message to an agent and watch the answer stream.

    The answer goes to standard output; tool calls, cost and time stand beside it on standard error.
    Exit code 0 when the run completed, 3 when it ended in any other way.
    """
    if text is None and sys.stdin.isatty():
        raise InvalidRequest("no text was given.", remedy=f'Say `golive run {agent} "…"`, or pipe the text in.')
    body: dict[str, object] = {"input": text if text is not None else sys.stdin.read(), "stream": True}
    if conversation:
        body["conversation_id"] = conversation
    if deadline_s is not None:
        body["deadline_s"] = deadline_s

    async def send() -> RunPrinter:
        printer = RunPrinter()
        async with connected(config, url, key) as client:
            async for event in client.stream("POST", f"/v1/agents/{agent}/runs", body):
                if not as_json:
                    printer.frame(event.event, event.data)
                elif event.event == "run.finished":
                    import msgspec

                    printer.result = msgspec.json.decode(event.data)
        return printer

    printer = asyncio.run(send())
    if as_json:
        json_text(printer.result)
    if printer.result.get("outcome") != "completed":
        raise typer.Exit(3)
