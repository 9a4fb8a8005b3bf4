"""What a person is asked after a restored backup: which tool calls the run's journal knows of, by name and key."""

from collections.abc import Sequence

from golive.runtime.state import RunState

MOST = 10
"""Calls named in one question; how many more there are is said."""


def question(state: RunState) -> str:
    """Calls that were done, whose outcome the backup does not have, and that were to come next."""
    effects = state.effects.values()
    done = [_named(one.started.name, one.started.key) for one in effects if one.finished is not None]
    begun = [_named(one.started.name, one.started.key) for one in effects if one.finished is None]
    known = {one.started.call_id for one in effects}
    keyed = enumerate(state.pending, state.first_ordinal)
    ahead = [_named(call.name, f"{state.run}//{at}") for at, call in keyed if call.id not in known]
    parts = [
        "A backup was restored, and this run may have gone further than the backup knows.",
        _told("Done before the backup: ", done),
        _told("Begun, and the outcome is not in the backup: ", begun),
        _told("Asked for next, and perhaps done since: ", ahead),
        f"What else it called since, the backup cannot tell: look on the other side for keys that begin {state.run}/.",
        "continue: go on from what the backup knows; end: end it here.",
    ]
    return " ".join(part for part in parts if part)


def _named(name: str, key: str) -> str:
    return f"{name} ({key})"


def _told(what: str, calls: Sequence[str]) -> str:
    if not calls:
        return ""
    more = f" and {len(calls) - MOST} more" if len(calls) > MOST else ""
    return f"{what}{', '.join(calls[:MOST])}{more}."
