"""What must hold of the streams that clients see: gapless, in order, true, and in the end the whole run."""

from typing import TYPE_CHECKING

from golive.runtime.api import RunResult
from golive.runtime.state import RunState
from golive.runtime.stream import Replay
from tests.sim.checker import Checker, Violation

if TYPE_CHECKING:
    from tests.sim.clients import Client, Seen


class Streams(Checker):
    """Each event follows on the one before: its position is that one's and its own length. Epochs go back only
    where the client is sent back."""

    name = "streams"

    def __init__(self) -> None:
        self._stands: dict[str, tuple[int, int]] = {}

    def on_frame(self, client: "Client", seen: "Seen") -> None:
        if seen.event == "error":
            return
        key = f"{client.name} {client.run}"
        epoch, pos = self._stands.get(key, (0, 0))
        if seen.epoch < epoch and not is_rewind(seen):
            raise Violation(f"{client.name}: epoch {seen.epoch} follows {epoch}")
        if is_rewind(seen):
            if seen.pos > pos:
                raise Violation(f"{client.name}: is sent back from {pos} to {seen.pos}, which lies ahead")
        else:
            length = 1 if seen.text is None else len(seen.text)
            if seen.pos != pos + length:
                raise Violation(f"{client.name}: {seen.event} of length {length} ends at {seen.pos}, after {pos}")
        self._stands[key] = (seen.epoch, seen.pos)


class Text(Checker):
    """A client's text grows to the run's text, or is taken back by name; what it saw in the end is the whole stream."""

    name = "text"

    def at_rest(self) -> None:
        for client in self.world.clients:
            if client.run is not None and client.finished:
                self._whole(client)

    def _whole(self, client: "Client") -> None:
        assert client.run is not None
        events = self.events(client.run)
        state = RunState.of(events)
        text, kinds = shown(client.frames)
        if text != state.answer:
            raise Violation(f"{client.name} was shown {text!r}, and {client.run} says {state.answer!r}")
        frames = Replay().take(events)
        told = [frame.event for frame in frames if not frame.is_text]
        if kinds != told:
            raise Violation(f"{client.name} was shown {kinds}, and the journal says {told}")


class Told(Checker):
    """What a client was told of a run's end is true, and stays so."""

    name = "told"

    def __init__(self) -> None:
        self._ends: dict[str, tuple[str | None, str | None]] = {}

    def on_frame(self, client: "Client", seen: "Seen") -> None:
        if seen.event == "run.finished" and client.run is not None:
            self._told(client.run, seen.data["outcome"], seen.data["reason"])

    def on_result(self, client: "Client", result: RunResult) -> None:
        if result.state == "finished":
            self._told(result.run, result.outcome, result.reason)

    def _told(self, run: str, outcome: str | None, reason: str | None) -> None:
        before = self._ends.setdefault(run, (outcome, reason))
        if before != (outcome, reason):
            raise Violation(f"of {run} it was told {before}, and then {(outcome, reason)}")
        end = RunState.of(self.events(run)).finished
        if end is None or (end.outcome, end.reason) != (outcome, reason):
            raise Violation(f"of {run} it was told {(outcome, reason)}, and the journal says {end}")


def is_rewind(seen: "Seen") -> bool:
    """Whether it sends the client back to a place of the stream."""
    return seen.event == "text.reset" and "pos" in seen.data


def shown(frames: "list[Seen]") -> tuple[str, list[str]]:
    """The answer as a client joins it, and the events beside text, after all that was taken back."""
    kept: list[tuple[int, str, str, str]] = []
    for seen in frames:
        if is_rewind(seen):
            kept = _back_to(kept, seen.pos)
        elif seen.text is not None:
            channel = "" if seen.event == "reasoning.delta" else seen.event
            kept.append((seen.pos, channel, seen.data["item"], seen.text))
        else:
            kept.append((seen.pos, seen.event, "", ""))
            if seen.event == "text.reset":
                kept = _shortened(kept, seen.data["item"], seen.data["length"])
    text = "".join(words for _, event, _, words in kept if event == "text.delta")
    return text, [event for _, event, _, _ in kept if event not in ("text.delta", "")]


def _back_to(kept: list[tuple[int, str, str, str]], pos: int) -> list[tuple[int, str, str, str]]:
    """What lies before `pos`: a text may be cut in the middle."""
    stands = []
    for end, event, item, words in kept:
        if end <= pos:
            stands.append((end, event, item, words))
        elif words and end - len(words) < pos:
            stands.append((pos, event, item, words[: pos - end]))
    return stands


def _shortened(kept: list[tuple[int, str, str, str]], item: str, length: int) -> list[tuple[int, str, str, str]]:
    """Of the item's words the first `length` characters stand."""
    left, changed = length, []
    for end, event, of, words in kept:
        if event == "text.delta" and of == item:
            changed.append((end, event, of, words[:left]))
            left = max(0, left - len(words))
        else:
            changed.append((end, event, of, words))
    return changed
