"""What an answer consists of, before any byte of it is written: tokens, tool calls in fragments, what they cost."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from golive.core.chance import Chance
from golive.sim import agent, tokens
from golive.sim.continuation import Partial, resumed
from golive.sim.prompt_cache import NOTHING, Hit
from golive.sim.request import ChatRequest
from golive.sim.script import Script, ToolUse
from golive.sim.structured import instance


class Call(Struct, frozen=True):
    """A tool call; joined, the fragments are its arguments."""

    id: str
    name: str
    fragments: list[str]

    def cost(self) -> int:
        """Tokens billed: the name, and each fragment for itself."""
        return tokens.count(self.name) + sum(tokens.count(fragment) for fragment in self.fragments)

    def parsed(self) -> Any:
        """The arguments as JSON, or as the text they are when they are none."""
        text = "".join(self.fragments)
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            return text


class Answer(Struct, frozen=True):
    """All of an answer, as lists of tokens. `hidden_tokens` are billed and never shown."""

    reasoning: list[str]
    text: list[str]
    refusal: list[str]
    calls: list[Call]
    hidden_tokens: int
    finish_reason: str
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int = 0
    stopped_at: str | None = None
    """The client's stop text that ended it."""

    def reasoning_tokens(self) -> int:
        return self.hidden_tokens + len(self.reasoning)

    def output_tokens(self) -> int:
        """Tokens of the whole answer, as billed."""
        shown = len(self.reasoning) + len(self.text) + len(self.refusal)
        return self.hidden_tokens + shown + sum(call.cost() for call in self.calls)


def compose(
    request: ChatRequest, script: Script, chance: Chance, name_call: Callable[[int], str], *,
    partial: Partial | None = None, hit: Hit = NOTHING,
) -> Answer:  # fmt: skip
    """The answer a script gives to a request.

    Args:
        request: without what `partial` holds.
        name_call: the id of the tool call at a position.
        partial: the beginning of the answer that is there already.
        hit: what the prompt cache said.
    """
    uses = _tool_uses(request, script)
    calls = [
        Call(name_call(index), use.name, _fragments(use.arguments, script.fragment)) for index, use in enumerate(uses)
    ]
    thoughts = tokens.split(script.reasoning) if script.reasoning and (partial is None or partial.instructed) else []
    reasoning, hidden = (thoughts, 0) if request.thinks else ([], len(thoughts))
    hidden += script.reasoning_tokens
    refusal = tokens.split(script.refusal) if script.refusal else []
    text = [] if refusal or (calls and script.text is None) else _text(request, script, chance)
    if partial is not None and text:
        text = tokens.split(resumed("".join(text), partial, script, chance))
    finish = "tool_calls" if calls else "stop"
    stopped_at = None
    if request.stop and text:
        text, stopped_at = _stopped("".join(text), request.stop)
        finish = finish if stopped_at is None else "stop_sequence"
    if request.max_tokens is not None:
        room = max(0, request.max_tokens - hidden)
        cut = len(reasoning) + len(text) + len(refusal) > room
        reasoning = reasoning[:room]
        text, refusal = text[: room - len(reasoning)], refusal[: room - len(reasoning)]
        finish = "length" if cut else finish
    return Answer(
        reasoning=reasoning,
        text=text,
        refusal=refusal,
        calls=calls,
        hidden_tokens=hidden,
        finish_reason=script.finish_reason or finish,
        input_tokens=request.input_tokens,
        cached_tokens=hit.read,
        cache_write_tokens=hit.written,
        stopped_at=stopped_at if finish == "stop_sequence" else None,
    )


def _tool_uses(request: ChatRequest, script: Script) -> tuple[ToolUse, ...]:
    if script.refusal:
        return ()
    fresh = request.rounds() == 0
    if script.tool_calls:
        return script.tool_calls
    if script.always_tools or (script.mode == "tools" and fresh):
        if not request.tools or request.choice == "none":
            return ()
        return agent.pick_tools(request, forced=True)
    if script.mode == "agent" and fresh and script.text is None:
        return agent.pick_tools(request)
    return ()


def _fragments(arguments: dict[str, Any] | str, size: int) -> list[str]:
    text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
    return [text[start : start + size] for start in range(0, len(text), size)]


def _text(request: ChatRequest, script: Script, chance: Chance) -> list[str]:
    if script.token_bytes:
        return ["x" * script.token_bytes]
    if script.text is not None:
        return tokens.split(script.text)
    if request.output != "text":
        words = "".join(tokens.generate(chance, 6))
        schema = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"]}
        value = instance(request.output if isinstance(request.output, dict) else schema, words)
        return tokens.split(msgspec.json.encode(value).decode())
    if script.mode == "echo":
        return tokens.split(request.said())
    if script.mode == "agent":
        return tokens.split(agent.answer(request))
    return tokens.generate(chance, script.tokens)


def _stopped(text: str, stops: tuple[str, ...]) -> tuple[list[str], str | None]:
    """The text up to the first of the stop texts, and which one it was."""
    at, stop = min(((text.find(stop), stop) for stop in stops if stop in text), default=(len(text), None))
    return tokens.split(text[:at]), stop
