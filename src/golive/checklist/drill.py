"""What the drills of the model plane share: whom a tier asks and how patiently, users who go on asking, and the words
of evidence.

Owns reading the configuration for what is to be expected. What is provoked is the checks' own.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from golive.checklist.faces import Heard, hear
from golive.checklist.http import Reply
from golive.checklist.results import Evidence, evidence
from golive.checklist.simulator import Asked
from golive.checklist.twin import Twin
from golive.config.schema import ProviderConfig, TierConfig

TEXT = (
    "The ferry leaves the northern pier at seven, crosses the sound in forty minutes, and waits at the island for an "
    "hour; whoever misses it will find the next one at noon, a smaller boat, and slower."
)
"""What scripted models say: a whole text shows every character that is lost or comes twice."""
AFFORDABLE_S = 20.0
"""What takes longer than this, seconds of the machine, is not waited for."""
WORK_S = 1.5
"""What golive's own work may add to a configured time, seconds of the machine; they count by the speed."""
ASK_EVERY_S = 0.1
"""Seconds of the machine between two users who ask during an outage."""
ROUNDING_S = 0.5
"""By how much, of the server's clock, we may be mistaken about a moment."""


class Course(NamedTuple):
    """The tier that answers, and how patient it is. Times in seconds, as configured."""

    tier: TierConfig
    first_token_s: float
    between_tokens_s: float
    call_s: float
    retries: int
    first_retry_s: float
    deadline_s: float
    credentials: int
    """Of the first target's provider."""
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
    """The course of the agent's default tier; with `[routing]`, of the strong one."""
    agent = twin.loaded.agents[str(twin.agent)].config
    name = "default" if agent.routing.supervisor is None else agent.routing.strong
    tier = agent.models.get(name) or next(iter(agent.models.values()))
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
        1 + len(provider.more_api_keys),
        None if tier.output_schema else TEXT,
    )


async def asking(
    twin: Twin, seconds: float, until: Callable[[list[Asked]], bool] = lambda _: False
) -> tuple[list[Heard], list[Asked]]:
    """Users ask, one after the other, for so long by the server's clock, or until what the provider was asked will do.

    Returns what they heard, and the model calls that the provider has received.
    """
    heard: list[Heard] = []
    end = twin.clock.monotonic() + seconds / twin.speed
    while True:
        heard.append(await hear(twin, f"Can you answer? ({len(heard)})"))
        received = await twin.simulator.received()
        if until(received) or twin.clock.monotonic() >= end:
            return heard, received
        await asyncio.sleep(ASK_EVERY_S)


def of(asked: list[Asked], ref: str) -> list[Asked]:
    """Those that asked the target."""
    return [each for each in asked if each.target == ref]


def shown(heard: Heard) -> str:
    """What the user saw, in a line."""
    return in_words(heard.text, heard.message)


def in_words(text: str, message: str) -> str:
    """The answer, its middle left out where it is long, and what the user was told besides."""
    part = text if len(text) <= 60 else f"{text[:40]} … {text[-15:]}"
    said = f"the user saw “{part}”" if part else "the user saw no text"
    return f"{said} and was told “{message}”" if message else said


def saw(twin: Twin, heard: Heard, note: str) -> Evidence:
    """The answer as evidence, with what the user saw and how fast time went."""
    ended = f"ended as {heard.ending or 'nothing'} after {heard.resets} resets"
    return twin.http.evidence(heard.reply, f"{note}; {ended}; {shown(heard)}; {scale(twin)}")


def scale(twin: Twin) -> str:
    """How fast time went, in words."""
    if twin.speed == 1:
        return "in real time"
    return f"by the server's clock, which went {twin.speed:g} times as fast, durations as configured"


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
