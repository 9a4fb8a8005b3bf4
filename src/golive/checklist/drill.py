"""What the drills of the model plane share: whom a tier asks and how patiently, and what a user hears of an answer.

Owns reading the configuration for what is to be expected, and hearing an answer as each kind of client does. What is
provoked is the checks' own.
"""

from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from golive.checklist.http import Reply
from golive.checklist.results import Evidence, evidence
from golive.checklist.target import Target, chat_text
from golive.checklist.twin import Twin
from golive.config.schema import ProviderConfig, TierConfig

TEXT = (
    "The ferry leaves the northern pier at seven, crosses the sound in forty minutes, and waits at the island for an "
    "hour; whoever misses it will find the next one at noon, a smaller boat, and slower."
)
"""What scripted models say: a whole text shows every character that is lost or comes twice."""
GIVE_UP_S = 25.0
"""Longest wait for an answer, seconds of the machine."""
AFFORDABLE_S = 20.0
"""What takes longer than this, seconds of the machine, is not waited for."""
WORK_S = 1.5
"""What golive's own work may add to a configured time, seconds of the machine; they count by the speed."""


class Course(NamedTuple):
    """The tier that answers, and how patient it is. Times in seconds, as configured."""

    tier: TierConfig
    first_token_s: float
    between_tokens_s: float
    call_s: float
    retries: int
    first_retry_s: float
    deadline_s: float
    text: str | None
    """What models are to say; None where the answer must follow a schema."""

    @property
    def primary(self) -> str:
        return self.tier.chain[0]

    @property
    def others(self) -> tuple[str, ...]:
        return tuple(target for target in dict.fromkeys(self.tier.chain) if target != self.primary)

    @property
    def longest_backoff_s(self) -> float:
        """Before the first retry, where nobody else is left to ask."""
        return 0.0 if self.others else self.first_retry_s * 1.5

    @property
    def alone(self) -> str:
        """Why nobody can stand in for the first target; empty where somebody can."""
        if self.others:
            return ""
        return f"the agent's chain has one target ({self.primary}): add a second, best at another provider"


def course(twin: Twin) -> Course:
    """The course of the agent's default tier."""
    agent = twin.loaded.agents[str(twin.agent)].config
    tier = agent.models.get("default") or next(iter(agent.models.values()))
    config = twin.loaded.config
    provider: ProviderConfig = config.providers[tier.chain[0].partition("/")[0]]
    return Course(
        tier,
        tier.first_token_s or provider.first_token_s,
        tier.between_tokens_s or provider.between_tokens_s,
        tier.call_s or provider.call_s,
        config.retry.retries if tier.retries is None else tier.retries,
        config.retry.first_s,
        agent.limits.deadline_s,
        None if tier.output_schema else TEXT,
    )


class Heard(Struct):
    """One answer as a user got it. Times in seconds of the machine."""

    reply: Reply
    text: str = ""
    """After everything that was taken back."""
    resets: int = 0
    ending: str = ""
    """The run's outcome, or a chat completion's finish reason; "error: CODE"; empty where the stream just ended."""
    done: bool = False
    """A chat completion ended with [DONE]."""
    reason: str = ""
    message: str = ""

    @property
    def answered(self) -> bool:
        return self.ending in ("completed", "stop") and bool(self.text)


class _Said(Struct):
    item: str = ""
    text: str = ""
    length: int = 0


class _Ended(Struct):
    outcome: str = ""
    reason: str = ""
    message: str = ""


async def hear(target: Target, text: str) -> Heard:
    """A run of the agent, heard by a client that obeys `text.reset`."""
    items: dict[str, str] = {}
    body = {"input": text, "stream": True}
    async with target.stream("POST", f"/v1/agents/{target.agent}/runs", body, timeout_s=GIVE_UP_S) as stream:
        heard = Heard(stream.reply())
        async for event in stream.events():
            if event.event in ("text.delta", "text.reset"):
                said = msgspec.json.decode(event.data, type=_Said)
                before = items.get(said.item, "")
                items[said.item] = before[: said.length] if event.event == "text.reset" else before + said.text
                heard.resets += event.event == "text.reset"
            elif event.event == "run.finished":
                ended = msgspec.json.decode(event.data, type=_Ended)
                heard.ending, heard.reason, heard.message = ended.outcome, ended.reason, ended.message
        heard.reply = stream.reply()
    heard.text = "".join(items.values())
    return heard


async def hear_chat(target: Target, text: str) -> Heard:
    """The same by chat completions, whose clients cannot take anything back."""
    body = target.chat(text, stream=True)
    async with target.stream("POST", "/v1/chat/completions", body, timeout_s=GIVE_UP_S) as stream:
        heard = Heard(stream.reply())
        async for event in stream.events():
            if event.data == b"[DONE]":
                heard.done = True
                continue
            heard.text += chat_text(event.data)
            heard.ending = _chat_ending(event.data) or heard.ending
        heard.reply = stream.reply()
    return heard


def _chat_ending(data: bytes) -> str:
    chunk: Any = msgspec.json.decode(data)
    if "error" in chunk:
        return f"error: {chunk['error'].get('code')}"
    return str(chunk["choices"][0].get("finish_reason") or "") if chunk.get("choices") else ""


def told(heard: Heard) -> str:
    """What the user saw, in a line."""
    shown = heard.text if len(heard.text) <= 60 else f"{heard.text[:40]} … {heard.text[-15:]}"
    words = f", and was told {heard.message!r}" if heard.message else ""
    return f"ended as {heard.ending or 'nothing'} after {heard.resets} resets; the user saw {shown!r}{words}"


def saw(twin: Twin, heard: Heard, note: str) -> Evidence:
    """The answer as evidence, with what the user saw and how fast time went."""
    return twin.http.evidence(heard.reply, f"{note}; {told(heard)}; {scale(twin)}")


def scale(twin: Twin) -> str:
    """How fast time went, in words."""
    return "in real time" if twin.speed == 1 else f"time went {twin.speed:g} times as fast, durations as configured"


def timed(twin: Twin, reply: Reply) -> float:
    """How long the answer took, seconds of the server's clock."""
    return reply.seconds * twin.speed


def noted(twin: Twin, did: str, words: str) -> Evidence:
    """A measurement over several answers as evidence."""
    return evidence(did, words, twin.clock.now())


def too_long(twin: Twin, seconds: float) -> str:
    """Why so many seconds, as configured, are not waited for; empty where they are."""
    real = seconds / twin.speed
    if real <= AFFORDABLE_S:
        return ""
    return f"as configured it takes {seconds:g} s, {real:.0f} s even at {twin.speed:g} times the speed: not waited for"
