"""What a run does not give at its end: the missing parts by name, whether that makes it partial, and the words."""

from collections.abc import Iterable

from golive.core.events import Missing
from golive.runtime.state import RunState
from golive.runtime.step import Finish
from golive.runtime.words import Messages, say

_THE_MODELS_OWN = frozenset({"tool.unknown", "tool.arguments_invalid", "tool.too_many"})
"""Calls that failed by the model's doing: no tool is out."""


def lost_tools(state: RunState, reason: str) -> tuple[Missing, ...]:
    """The tools that gave no result, each once, in the order of their calls.

    A failed call is made good by a later step's call of the same tool. A call that was not finished, or not begun, is
    lost for the run's own `reason`.
    """
    good: dict[str, int] = {}
    for record in state.effects.values():
        if record.finished is not None and record.finished.ok:
            good[record.started.name] = record.started.step
    lost: dict[str, Missing] = {}
    for record in state.effects.values():
        done = record.finished
        if done is None or done.ok or done.error_code in _THE_MODELS_OWN or good.get(done.name, 0) > done.step:
            continue
        lost[done.name] = Missing("tool", done.name, done.error_code or "tool.failed")
    for call in state.unfinished:
        lost.setdefault(call.name, Missing("tool", call.name, reason))
    return tuple(lost.values())


def not_undone(state: RunState) -> tuple[Missing, ...]:
    """The tools of which a call was to be taken back, and was not, or nobody knows; each with a code once."""
    outcomes = [record.finished for record in state.undone.values()]
    lost = [Missing("undo", each.name, each.error_code or "tool.failed") for each in outcomes if each and not each.ok]
    return tuple(dict.fromkeys(lost))


def settled(finish: Finish, state: RunState, critical: Iterable[str]) -> Finish:
    """The end as it stands once the tools are looked at: without a critical one no answer is whole."""
    if finish.outcome != "completed":
        return finish
    vital = set(critical)
    out = [one for one in lost_tools(state, finish.reason) if one.name in vital]
    if not out:
        return finish
    return Finish("partial", out[0].code, "tool_out", {"tools": _names(out)})


def missing(finish: Finish, state: RunState) -> tuple[Missing, ...]:
    """What the run was to give and does not: the answer (or its form) where it is not whole, the lost tools, and what
    was to be taken back."""
    tools = lost_tools(state, finish.reason) + not_undone(state)
    if finish.outcome in ("completed", "escalated") or finish.way == "tool_out":
        return tools
    kind = Missing("output" if finish.way == "output_invalid" else "answer", "", finish.reason)
    return (kind, *tools)


def message(finish: Finish, state: RunState, messages: Messages) -> str:
    """All of it in the user's words; "" for a run that gives everything."""
    language = state.accepted.language if state.accepted is not None else ""
    said = [finish.message or say(messages, language, finish.way, **finish.values)] if finish.way else [finish.message]
    if finish.way == "tool_out":
        named = set(finish.values["tools"].split(", "))
        others = [one for one in lost_tools(state, finish.reason) if one.name not in named]
    else:
        others = list(lost_tools(state, finish.reason))
    if finish.outcome not in ("cancelled", "refused"):
        if others:
            said.append(say(messages, language, "tool_skipped", tools=_names(others)))
        done = state.tools_done
        if done and finish.outcome != "completed" and not state.answer:
            said.append(say(messages, language, "tools_done", tools=", ".join(done)))
    return " ".join(sentence for sentence in said if sentence)


def _names(lost: Iterable[Missing]) -> str:
    return ", ".join(one.name for one in lost)
