"""What a run's messages say of calls that were taken back after the model had been told of them.

Whoever goes on from there, a fork or the next turn of the conversation, is told what each call returned, and that it no
longer stands.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from golive.core.messages import Message
from golive.runtime.state import EffectRecord, RunState

_TAKEN_BACK = "\n\n[This call was taken back afterwards: what it did no longer stands.]"
_NOT_SURE = (
    "\n\n[This call was to be taken back afterwards, and it is not known whether it was: do not rely on what it did, "
    "and do not call it again without asking the user.]"
)


def as_it_stands(state: RunState, messages: Iterable[Message]) -> list[Message]:
    """The run's messages, or the first of them, with what became of their calls later.

    Args:
        state: the run's, up to what is known now; `messages` may be those of an earlier point.
    """
    given = list(messages)
    if not state.undone:
        return given
    by_call: dict[str, list[EffectRecord]] = {}  # providers may use an id again in a later step
    for record in sorted(state.effects.values(), key=lambda one: (one.started.step, one.started.ordinal)):
        by_call.setdefault(record.started.call_id, []).append(record)
    own = len(state.known().input)
    for place, message in enumerate(given[own:], own):
        records = by_call.get(message.tool_call_id or "", []) if message.role == "tool" else []
        undone = state.undone.get(records.pop(0).started.key) if records else None
        if undone is not None:
            taken_back = undone.finished is not None and undone.finished.ok
            given[place] = replace(message, content=message.text() + (_TAKEN_BACK if taken_back else _NOT_SURE))
    return given
