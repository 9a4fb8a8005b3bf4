"""The provider's prompt cache: which front part of a prompt was sent before, by content.

Kept per credential and model, as vendors do. Parts are whole messages and tools; a change inside one ends the match
before it.
Sources: https://platform.openai.com/docs/guides/prompt-caching and
https://docs.anthropic.com/en/docs/build-with-claude/prompt-caching, as of 2026.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

MIN_TOKENS = 1_024
"""A shorter front part is never cached."""
STEP_TOKENS = 128
"""Without marks, hits are counted in steps of so many."""
TTL_S = 300.0
LOOKBACK = 20
"""How many parts before a mark are looked at for an earlier entry."""
MAX_ENTRIES = 50_000


class Segment(NamedTuple):
    """One part of a prompt. `ttl_s` stands where the client marked the part as the end of what is to be cached."""

    data: bytes
    tokens: int
    ttl_s: float | None = None


class Hit(NamedTuple):
    """Tokens of the prompt that were read from the cache, and those newly written to it."""

    read: int = 0
    written: int = 0


NOTHING = Hit()


class PromptCache:
    """Front parts by their content. The least recently used make room."""

    def __init__(self) -> None:
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def automatic(self, owner: str, prompt: Sequence[Segment], now: float) -> Hit:
        """Looks up and keeps every front part that is long enough, without being asked; writing is free."""
        found, total = 0, 0
        for key, tokens in self._fronts(owner, prompt):
            total = tokens
            if tokens >= MIN_TOKENS:
                found = tokens if self._known(key, now) else found
                self._keep(key, now + TTL_S)
        return Hit(min(found, max(0, total - 1)) // STEP_TOKENS * STEP_TOKENS)

    def marked(self, owner: str, prompt: Sequence[Segment], now: float) -> Hit:
        """Looks up what was kept at a mark before, and keeps the front parts that end at a mark now."""
        fronts = self._fronts(owner, prompt)
        marks = [at for at, part in enumerate(prompt) if part.ttl_s is not None and fronts[at][1] >= MIN_TOKENS]
        read = 0
        for at in marks:
            for key, tokens in fronts[max(0, at - LOOKBACK) : at + 1]:
                if tokens > read and self._known(key, now):
                    read = tokens
        for at in marks:
            self._keep(fronts[at][0], now + (prompt[at].ttl_s or TTL_S))
        return Hit(read, max((fronts[at][1] for at in marks), default=read) - read)

    def clear(self) -> None:
        """Forgets all."""
        self._until.clear()

    def _fronts(self, owner: str, prompt: Sequence[Segment]) -> list[tuple[bytes, int]]:
        digest, tokens, fronts = blake2b(owner.encode("utf-8", "replace"), digest_size=16), 0, []
        for part in prompt:
            digest.update(b"%d:" % len(part.data) + part.data)
            tokens += part.tokens
            fronts.append((digest.digest(), tokens))
        return fronts

    def _known(self, key: bytes, now: float) -> bool:
        return self._until.get(key, now) > now

    def _keep(self, key: bytes, until: float) -> None:
        self._until[key] = until
        self._until.move_to_end(key)
        while len(self._until) > MAX_ENTRIES:
            self._until.popitem(last=False)
