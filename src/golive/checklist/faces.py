"""An answer as each kind of client hears it: the native one, and those of chat completions, Responses and Messages.

Owns reading the streams, and how each tells the end. What should have been heard is the checks' own.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from golive.checklist.http import Reply, Stream
from golive.checklist.target import Target, chat_text

GIVE_UP_S = 25.0
"""Longest wait for an answer, seconds of the machine."""
MAX_TOKENS = 4_096
"""Which the Messages face demands of its clients."""
WHOLE = ("completed", "stop", "end_turn")
"""Endings of a whole answer."""


class Heard(Struct):
    """One answer as a user got it. Times in seconds of the machine."""

    reply: Reply
    text: str = ""
    """After everything that was taken back."""
    resets: int = 0
    ending: str = ""
    """The run's outcome, a finish reason, a response's status or a stop reason; "error: CODE"; empty where the stream
    just ended."""
    done: bool = False
    """The stream was closed as its face closes a whole one: [DONE], response.completed, message_stop."""
    reason: str = ""
    message: str = ""
    retry_after_s: float | None = None
    """In how long to ask again, as a run says."""

    @property
    def answered(self) -> bool:
        return self.ending in WHOLE and bool(self.text)


class Face(NamedTuple):
    """A face whose clients cannot take anything back. `whole`, `part`: its endings of a whole answer, and of a part."""

    name: str
    hear: Callable[[Target, str], Awaitable[Heard]]
    whole: str
    part: str


class _Said(Struct):
    item: str = ""
    text: str = ""
    length: int = 0


class _Ended(Struct):
    outcome: str = ""
    reason: str = ""
    message: str = ""
    retry_after_s: float | None = None


async def hear(target: Target, text: str) -> Heard:
    """A run of the agent, heard by a client that obeys `text.reset`."""
    items: dict[str, str] = {}
    body = {"input": target.question(text), "stream": True}
    async with _heard(target, f"/v1/agents/{target.agent}/runs", body) as (stream, heard):
        async for event in stream.events():
            if event.event in ("text.delta", "text.reset"):
                said = msgspec.json.decode(event.data, type=_Said)
                before = items.get(said.item, "")
                items[said.item] = before[: said.length] if event.event == "text.reset" else before + said.text
                heard.resets += event.event == "text.reset"
            elif event.event == "run.finished":
                ended = msgspec.json.decode(event.data, type=_Ended)
                heard.ending, heard.reason, heard.message = ended.outcome, ended.reason, ended.message
                heard.retry_after_s = ended.retry_after_s
    heard.text = "".join(items.values())
    return heard


async def hear_chat(target: Target, text: str) -> Heard:
    """The same by chat completions."""
    async with _heard(target, "/v1/chat/completions", target.chat(text, stream=True)) as (
        stream,
        heard,
    ):
        async for event in stream.events():
            if event.data == b"[DONE]":
                heard.done = True
                continue
            heard.text += chat_text(event.data)
            heard.ending = _chat_ending(event.data) or heard.ending
    return heard


def _chat_ending(data: bytes) -> str:
    chunk: Any = msgspec.json.decode(data)
    if "error" in chunk:
        return f"error: {chunk['error'].get('code')}"
    return str(chunk["choices"][0].get("finish_reason") or "") if chunk.get("choices") else ""


async def hear_response(target: Target, text: str) -> Heard:
    """The same by Responses."""
    body = {"model": target.model, "input": target.question(text), "stream": True}
    async with _heard(target, "/v1/responses", body) as (stream, heard):
        async for event in stream.events():
            told: Any = msgspec.json.decode(event.data)
            if told["type"] == "response.output_text.delta":
                heard.text += told["delta"]
            elif told["type"] in ("response.completed", "response.incomplete"):
                heard.ending = told["response"]["status"]
                heard.done = told["type"] == "response.completed"
            elif told["type"] == "response.failed":
                heard.ending = f"error: {(told['response'].get('error') or {}).get('code')}"
            elif told["type"] == "error":
                heard.ending = f"error: {told.get('code')}"
    return heard


async def hear_message(target: Target, text: str) -> Heard:
    """The same by Messages."""
    asked = {"messages": [{"role": "user", "content": target.question(text)}], "max_tokens": MAX_TOKENS}
    async with _heard(target, "/v1/messages", {"model": target.model, "stream": True} | asked) as (stream, heard):
        async for event in stream.events():
            told: Any = msgspec.json.decode(event.data)
            if told["type"] == "content_block_delta":
                heard.text += told["delta"].get("text", "")
            elif told["type"] == "message_delta":
                heard.ending = str(told["delta"].get("stop_reason") or "")
            elif told["type"] == "message_stop":
                heard.done = True
            elif told["type"] == "error":
                heard.ending = f"error: {told['error'].get('type')}"
    return heard


@asynccontextmanager
async def _heard(target: Target, path: str, body: object) -> AsyncIterator[tuple[Stream, Heard]]:
    async with target.stream("POST", path, body, timeout_s=GIVE_UP_S) as stream:
        heard = Heard(stream.reply())
        yield stream, heard
        heard.reply = stream.reply()


CHAT = Face("chat", hear_chat, "stop", "length")
RESPONSES = Face("Responses", hear_response, "completed", "incomplete")
MESSAGES = Face("Messages", hear_message, "end_turn", "max_tokens")
