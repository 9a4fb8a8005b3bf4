"""A client that holds the beginning of an answer and wants the rest: what it holds, and how a script goes on.

It holds the beginning as a last assistant message (a prefill), or names it in words: the last user message then
contains what the script says in `continue_on`, and the assistant message before it is the beginning.
"""

import re
from typing import NamedTuple

import msgspec

from golive.core.chance import Chance
from golive.sim import tokens
from golive.sim.request import ChatRequest
from golive.sim.script import Prefill, Script

_WORD = re.compile(r"\s*\S+")
_DIVERGED_TOKENS = 24


class Partial(NamedTuple):
    """The beginning of an answer. `instructed`: a user message after it asks for the rest."""

    text: str
    instructed: bool
    how: Prefill


def split(request: ChatRequest, script: Script, *, continues: bool) -> tuple[ChatRequest, Partial | None]:
    """The request as it was before anything was answered, and the beginning of the answer if it holds one.

    Args:
        continues: whether a prefill is continued where the script does not say.
    """
    turns = request.turns
    asked = script.continue_on and turns[-1].role == "user" and script.continue_on.lower() in turns[-1].text.lower()
    before = turns[:-1] if asked else turns
    if len(before) < 2 or before[-1].role != "assistant" or before[-1].call_ids:
        return request, None
    how = script.prefill or ("continue" if asked or continues else "restart")
    return msgspec.structs.replace(request, turns=before[:-1]), Partial(before[-1].text, bool(asked), how)


def resumed(text: str, partial: Partial, script: Script, chance: Chance) -> str:
    """What is said to a client that holds the beginning of `text`; one that holds something else gets all of it."""
    if partial.how == "diverge":
        return "".join(tokens.generate(chance, _DIVERGED_TOKENS)) if script.diverge is None else script.diverge
    if partial.how not in ("continue", "overlap") or not text.startswith(partial.text):
        return text
    rest = text[len(partial.text) :]
    if partial.how == "continue":
        return rest
    repeated = "".join(_WORD.findall(partial.text)[-script.overlap :] if script.overlap else ())
    if script.overlap_as == "upper":
        repeated = repeated.upper()
    elif script.overlap_as == "spaced":
        repeated = repeated.replace(" ", "  ")
    return repeated + rest
