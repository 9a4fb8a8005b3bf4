"""Answers that the way, or a vendor's bug, has damaged: in every dialect an answer or an error of ours, never a crash.

Seeded and plain, not drawn by Hypothesis: a case costs no more than its decoding, so that a million fit into minutes.
"""

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from golive.core.errors import ModelError
from golive.models.call import Finished, Opened, StateReported, UsageReported
from tests.contract.speakers.speaker import Speaker
from tests.contract.test_dialect import SPEAKERS, Outcome, calls, decode, of_kind

BYTES = (
    b"",
    b"\xff",
    b"\n\n",
    b"\r",
    b"NaN",
    b"-1",
    b"1e999",
    b"null",
    b"{",
    b"]",
    b'"',
    b"\\ud800",
    b"\x00",
    b"data:",
)
ODD: tuple[Any, ...] = (
    None, True, -1, 0, 2**31, 2**64, 10**30, 0.5, -0.0, 1e300, "", "x", "NaN", "é👋", "call_a", "\x00", [], {}, [None],
    [{"type": "text"}], {"type": "text"}, [[[[]]]], "completed", "error", "tool_use", "STOP", "function_call",
)  # fmt: skip
NAMES = ("id", "type", "index", "text", "usage", "error", "delta", "new", "input_tokens", "choices", "output", "parts")


def is_sound(outcome: Outcome) -> None:
    """What every reading owes its readers, whatever came."""
    events, failure = outcome
    assert failure is None or isinstance(failure, ModelError)
    assert len(of_kind(events, Opened)) <= 1
    finished = [event.choice for event in of_kind(events, Finished)]
    assert len(finished) == len(set(finished))
    assert failure is not None or finished
    for reported in of_kind(events, UsageReported):
        usage = reported.usage
        assert 0 <= min(msgspec.structs.astuple(usage)) <= max(msgspec.structs.astuple(usage)) < 10**13
        assert usage.cached_input_tokens + usage.cache_write_tokens <= usage.input_tokens
        assert usage.reasoning_tokens <= usage.output_tokens
    for state in of_kind(events, StateReported):
        assert isinstance(msgspec.json.decode(state.state.data), dict)
    for choice in {event.choice for event in events if hasattr(event, "choice")}:
        made = calls([event for event in events if getattr(event, "choice", None) == choice])
        assert len({call[0] for call in made.values()}) == len(made)
    msgspec.json.encode(events)
    str(failure).encode()


def bytes_changed(body: bytes, chance: random.Random) -> bytes:
    """Some bytes changed, lost, doubled or put in."""
    changed = bytearray(body)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(changed) + 1)
        end = at + chance.randrange(30)
        put = bytes(changed[at:end]) * 2 if chance.random() < 0.1 else chance.choice(BYTES)
        changed[at : chance.choice((at, at + 1, end))] = put
    return bytes(changed)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Each container of a JSON value with each of its keys."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        inner = holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        for key, item in inner:
            found.append((holder, key))
            waiting.append(item)
    return found


def value_changed(value: Any, chance: random.Random) -> Any:
    """One field or item with another value, lost, doubled, or a new one beside it."""
    found = places(value)
    if not found:
        return chance.choice(ODD)
    holder, key = chance.choice(found)
    how = chance.random()
    if how < 0.5:
        holder[key] = chance.choice(ODD)
    elif how < 0.7:
        del holder[key]
    elif isinstance(holder, list):
        holder.insert(key, holder[key])
    else:
        holder[chance.choice(NAMES)] = holder[key] if how < 0.85 else chance.choice(ODD)
    return value


def json_changed(data: bytes, chance: random.Random) -> bytes:
    """One value of a JSON text changed; what is no JSON (some situations are cut off) loses or gains bytes."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return bytes_changed(data, chance)
    return msgspec.json.encode(value_changed(value, chance))


def values_changed(body: bytes, chance: random.Random) -> bytes:
    """Some values of a whole answer, or of a stream's events, changed; of a stream also events lost, doubled, moved."""
    if body.startswith((b"{", b"[")):
        return json_changed(body, chance)
    blank = b"\r\n\r\n" if b"\r\n\r\n" in body else b"\n\n"
    events = body.split(blank)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(events))
        head, mark, data = events[at].partition(b"data: ")
        if data.startswith(b"{") and chance.random() < 0.75:
            events[at] = head + mark + json_changed(data, chance)
        else:
            moved = events.pop(at) if chance.random() < 0.7 else events[at]
            if chance.random() < 0.7:
                events.insert(chance.randrange(len(events) + 1), moved)
        if not events:
            break
    return blank.join(events)


def read_damaged(speaker: Speaker, damage: Callable[[bytes, random.Random], bytes], seed: int, cases: int) -> None:
    chance = random.Random(seed)
    bodies = [(name, body, True) for name, body in speaker.streamed.items()]
    bodies += [(name, body, False) for name, body in speaker.whole.items()]
    for case in range(cases):
        name, body, streamed = chance.choice(bodies)
        body = damage(body, chance)
        try:
            at_once = decode(speaker.dialect, body, streamed=streamed)
            is_sound(at_once)
            cuts = [chance.randrange(len(body) + 1) for _ in range(chance.randrange(1, 6))]
            events, failure = decode(speaker.dialect, body, streamed=streamed, cuts=cuts)
            assert (events, str(failure)) == (at_once[0], str(at_once[1]))
        except Exception as error:
            error.add_note(f"case {case} of seed {seed}: {name!r}, streamed {streamed}, {body!r}")
            raise


SEEDS = [
    pytest.param(0, 10_000),
    *(pytest.param(seed, 50_000, marks=[pytest.mark.long, pytest.mark.timeout(1_800)]) for seed in range(1, 11)),
]


@pytest.mark.parametrize(("seed", "cases"), SEEDS)
@pytest.mark.parametrize("dialect", sorted(SPEAKERS))
def test_changed_bytes(dialect: str, seed: int, cases: int) -> None:
    """Half a million answers a dialect with bytes changed: sound, and the same however they were cut."""
    read_damaged(SPEAKERS[dialect], bytes_changed, seed, cases)


@pytest.mark.parametrize(("seed", "cases"), SEEDS)
@pytest.mark.parametrize("dialect", sorted(SPEAKERS))
def test_changed_values(dialect: str, seed: int, cases: int) -> None:
    """Half a million answers a dialect that are good JSON of other values, fields and orders: the same."""
    read_damaged(SPEAKERS[dialect], values_changed, seed, cases)
