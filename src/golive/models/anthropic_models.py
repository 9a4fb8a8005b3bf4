"""What Anthropic's models differ in, told by their names: sampling, effort, and how thinking is turned on and off.

A model that is not known by name is taken for one of the newest, whose rules are the strictest; a name without "claude"
in it is a compatible server's, which takes everything.

Source: https://platform.claude.com/docs/en/build-with-claude/thinking, .../effort, and the pages "What's new" of Opus
5, Opus 5.5 and Sonnet 5.5, all November 2026.
"""

import re
from functools import lru_cache
from typing import Any, Literal, NamedTuple

MIN_THINKING_BUDGET = 1_024
"""Least `budget_tokens`, which must also be less than `max_tokens`."""
MAX_MODELS_KEPT = 1_024

_NEW = re.compile(r"claude-(opus|sonnet|haiku|fable|mythos)-([0-9]{1,2})(?![0-9])(?:[-.]([0-9]{1,2})(?![0-9]))?")
_OLD = re.compile(r"claude-([0-9])(?:[-.]([0-9]))?-(?:opus|sonnet|haiku)")
_SHARES = {"minimal": 0.2, "low": 0.2, "medium": 0.5}
"""Of `max_tokens`, how much a model with a budget may think; every other level gets MAX_SHARE."""
MAX_SHARE = 0.8


class Traits(NamedTuple):
    """The rules of one model. A request against them is answered 400."""

    sampling: Literal["free", "one", "none"]
    """Whether `temperature` and `top_p` are both taken, one of them at a time, or neither."""
    effort: bool
    """Whether `output_config.effort` is taken."""
    thinking: Literal["adaptive", "budget", "never"]
    """How thinking is asked for; "never" where it is left to the server."""
    off: str | None
    """The `thinking.type` that turns it off; "" where it is off unless asked for, None where it cannot be."""


_COMPATIBLE = Traits("free", effort=True, thinking="never", off="disabled")
_ALWAYS_THINKS = Traits("none", effort=True, thinking="adaptive", off=None)


@lru_cache(maxsize=MAX_MODELS_KEPT)
def traits_of(model: str) -> Traits:
    """The rules of a model, by any of its names (`claude-opus-4-6`, `anthropic.claude-sonnet-4-5-20250929-v1:0`)."""
    name = model.lower()
    if "claude" not in name:
        return _COMPATIBLE
    found = _NEW.search(name)
    if found is not None:
        return _by_version(found[1], (int(found[2]), int(found[3] or 0)))
    old = _OLD.search(name)
    if old is not None:
        return _by_version("sonnet", (int(old[1]), int(old[2] or 0)))
    return _ALWAYS_THINKS


def _by_version(family: str, version: tuple[int, int]) -> Traits:
    if family in ("fable", "mythos"):
        return _ALWAYS_THINKS
    if version >= (5, 5):
        off = {"opus": None, "sonnet": "between_tools", "haiku": "disabled"}[family]
        return Traits("none", effort=True, thinking="adaptive", off=off)
    if version >= (5, 0):
        return Traits("none", effort=True, thinking="adaptive", off="disabled")
    if version >= (4, 6):
        return Traits("one" if version == (4, 6) else "none", effort=True, thinking="adaptive", off="")
    has_effort = family == "opus" and version == (4, 5)
    return Traits("one", effort=has_effort, thinking="budget" if version >= (3, 7) else "never", off="")


def reasoning(
    level: str | None, traits: Traits, max_tokens: int, *, may_think: bool
) -> tuple[dict[str, Any] | None, str | None]:
    """`thinking` and `output_config.effort` for a `reasoning_effort`; None: not sent.

    Thoughts are asked for in summary: silent ones look like a stalled stream. `none` becomes the lowest effort where
    thinking cannot be turned off.

    Args:
        max_tokens: limit of the whole answer, thoughts included; a budget is a share of it.
        may_think: False where the request has what cannot go with thinking that is asked for.
    """
    if level is None:
        return None, None
    if level == "none":
        if traits.off is None:
            return None, "low"
        return ({"type": traits.off} if traits.off else None), None
    effort = ("low" if level == "minimal" else level) if traits.effort else None
    if not may_think or traits.thinking == "never":
        return None, effort
    if traits.thinking == "adaptive":
        return {"type": "adaptive", "display": "summarized"}, effort
    budget = max(int(max_tokens * _SHARES.get(level, MAX_SHARE)), MIN_THINKING_BUDGET)
    return ({"type": "enabled", "budget_tokens": budget} if budget < max_tokens else None), effort
