"""`golive run`: one message to an agent or a model, the answer as it streams, what it took."""

import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import typer

from golive.cli.client import Client, StreamBroken, connected, refused
from golive.cli.frames import RunPrinter
from golive.cli.options import ConfigOption, JsonOption, KeyOption, UrlOption
from golive.cli.running import run as run_to_end
from golive.cli.show import json_text, note
from golive.core.errors import InvalidRequest

EXIT_NOT_COMPLETED = 3


def run(
    agent: Annotated[str, typer.Argument(help="An agent's name, or provider/model for a plain model.")],
    text: Annotated[str | None, typer.Argument(help="What to say; standard input when absent.")] = None,
    conversation: Annotated[str | None, typer.Option(help="Conversation to go on with.")] = None,
    deadline_s: Annotated[float | None, typer.Option("--deadline", help="Longest run, in seconds.")] = None,
    max_steps: Annotated[int | None, typer.Option(help="Most steps.")] = None,
    metadata: Annotated[list[str] | None, typer.Option(help="KEY=VALUE to keep with the run; may be repeated.")] = None,
    language: Annotated[str | None, typer.Option(help="In which language to say what is missing, such as de.")] = None,
    on_disconnect: Annotated[
        Literal["continue", "cancel"] | None, typer.Option(help="What becomes of the run when this command is ended.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="The user of the tenant whom it is for.")] = None,
    background: Annotated[
        bool, typer.Option("--background", help="Do not wait: print the run's id (see `golive runs tail`).")
    ] = False,
    config: ConfigOption = None,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send one message and watch the answer stream.

    The answer goes to standard output; tool calls, cost and time stand beside it on standard error.
    Exit code 0 when the run completed, 3 when it ended in any other way.
    """
    settings = {
        "conversation_id": conversation,
        "deadline_s": deadline_s,
        "max_steps": max_steps,
        "metadata": _pairs(metadata),
        "language": language,
        "on_disconnect": on_disconnect,
    }
    chosen: dict[str, object] = {name: value for name, value in settings.items() if value}
    plain = "/" in agent
    if plain and (chosen or background):
        raise InvalidRequest(
            f"{agent} is a plain model: it has no conversation, no limits and no background of golive's.",
            remedy="Leave these options out, or name an agent.",
        )
    body = {"input": _text(agent, text)} | chosen | ({"user": user} if user is not None else {})

    async def send() -> RunPrinter:
        printer = RunPrinter(quiet=as_json)
        async with connected(config, url, key) as client:
            if background:
                await _leave(client, agent, body, as_json=as_json)
                return printer
            try:
                await (_ask_model if plain else _ask_agent)(client, agent, body, printer)
            finally:
                printer.close()
        return printer

    printer = run_to_end(send())
    if background:
        return
    if as_json and printer.result:
        json_text(printer.result)
    if printer.result.get("outcome") != "completed":
        raise typer.Exit(EXIT_NOT_COMPLETED)


async def _ask_agent(client: Client, agent: str, body: dict[str, object], printer: RunPrinter) -> None:
    try:
        async for event in client.stream("POST", f"/v1/agents/{agent}/runs", body | {"stream": True}):
            printer.frame(event.event, event.data, event.id)
    except StreamBroken as error:
        error.remedy = f"Go on with: golive runs tail {printer.run} --from {printer.last_event_id}"
        raise


async def _ask_model(client: Client, model: str, body: dict[str, object], printer: RunPrinter) -> None:
    """Through the OpenAI face; what it took is asked afterwards."""
    sent = {"model": model, "messages": [{"role": "user", "content": body["input"]}], "stream": True}
    if "user" in body:
        sent["user"] = body["user"]

    def opened(headers: Mapping[str, str]) -> None:
        printer.run = headers["x-request-id"]

    said: list[str] = []
    async for event in client.stream("POST", "/v1/chat/completions", sent, opened=opened):
        if event.data == b"[DONE]":
            break
        chunk: dict[str, Any] = msgspec.json.decode(event.data)
        if "error" in chunk:
            printer.close()
            raise refused(200, event.data)
        text = "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", ()))
        if text:
            said.append(text)
            printer.frame("text.delta", msgspec.json.encode({"text": text}))
    result = await client.call("GET", f"/v1/runs/{printer.run}")
    printer.frame("run.finished", msgspec.json.encode(result | {"text": "".join(said)}))


async def _leave(client: Client, agent: str, body: dict[str, object], *, as_json: bool) -> None:
    if client.own:
        raise InvalidRequest(
            "--background needs a server that goes on running.", remedy="Start one with `golive dev`, or use --url."
        )
    begun = await client.call("POST", f"/v1/agents/{agent}/runs", body | {"background": True})
    if as_json:
        json_text(begun)
        return
    typer.echo(begun["run"])
    note(f"Follow it with: golive runs tail {begun['run']}")


def _text(agent: str, text: str | None) -> str:
    if text is None and not sys.stdin.isatty():
        text = sys.stdin.read()
    if text is None or not text.strip():
        raise InvalidRequest("no text was given.", remedy=f'Say `golive run {agent} "…"`, or pipe the text in.')
    return text


def _pairs(words: list[str] | None) -> dict[str, str]:
    for word in words or ():
        if "=" not in word:
            raise InvalidRequest(f"--metadata {word!r} is no KEY=VALUE.", remedy="Write it as customer=42.")
    return dict(word.split("=", 1) for word in words or ())
