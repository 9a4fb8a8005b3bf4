"""Which earlier turns of a conversation the model is shown: the newest whole runs that fit."""

from collections.abc import Iterable, Sequence

from golive.core.messages import Message

HISTORY_RUNS = 50
"""Most earlier runs of a conversation that are looked at."""
HISTORY_CHARS = 200_000
"""Most characters of earlier turns that are shown (about 50,000 tokens)."""


def recent(newest_first: Iterable[Sequence[Message]], most_chars: int = HISTORY_CHARS) -> tuple[Message, ...]:
    """The messages of the newest runs, oldest first; a run is taken whole or not at all, none behind a gap."""
    taken: list[Sequence[Message]] = []
    chars = 0
    for transcript in newest_first:
        chars += sum(
            len(message.text()) + sum(len(call.arguments) for call in message.tool_calls) for message in transcript
        )
        if chars > most_chars:
            break
        taken.append(transcript)
    return tuple(message for transcript in reversed(taken) for message in transcript)
