"""core/: properties that hold for every text, every slicing, every amount and every moment."""

from decimal import Decimal
from itertools import pairwise

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from golive.core.chance import SeededChance
from golive.core.clock import Clock
from golive.core.errors import InvalidRequest
from golive.core.frames import ERROR, Cursor, Frame, text_frame
from golive.core.ids import Ids
from golive.core.money import MICROUSD_PER_USD, microusd, usd_text

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)


class _At:
    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now


@st.composite
def _slices(draw: st.DrawFn, text: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    edges = [0, *cuts, len(text)]
    return [text[a:b] for a, b in pairwise(edges) if a != b]


def _frames(pieces: list[str], start: int = 0) -> list[Frame]:
    frames, pos = [], start
    for piece in pieces:
        pos += len(piece)
        frames.append(text_frame(1, pos, "m1", "answer", piece))
    return frames


@given(st.data(), TEXT)
def test_any_slicing_joins_to_the_same_text(data: st.DataObject, text: str) -> None:
    """Cut off after any frame of one slicing and coming back to any other, a reader has the whole text once."""
    seen, later = _frames(data.draw(_slices(text))), _frames(data.draw(_slices(text)))
    kept = data.draw(st.integers(0, len(seen)))
    pos = seen[kept - 1].pos if kept else 0
    rest = [tail for frame in later if (tail := frame.after(pos)) is not None]
    assert "".join(frame.text() for frame in seen[:kept] + rest) == text
    assert all(frame.pos > pos for frame in rest)


@given(TEXT.filter(bool), st.integers(0, 1_000), st.integers(0, 1_100))
def test_the_tail_of_a_frame_is_what_lies_behind(text: str, start: int, pos: int) -> None:
    """`after` gives the frame, its tail or nothing, and the end never moves."""
    frame = text_frame(3, start + len(text), "m1", "reasoning", text)
    tail = frame.after(pos)
    expected = text[max(0, pos - start) :]
    if tail is None:
        assert expected == ""
    else:
        assert (tail.text(), tail.pos, tail.epoch, tail.event) == (expected, frame.pos, 3, "reasoning.delta")


@given(TEXT)
def test_a_frame_on_the_wire_is_one_event(text: str) -> None:
    """Whatever the text holds (newlines above all), the frame is three lines and its data is the same text."""
    lines = text_frame(2, 9, "m1", "answer", text).sse().split(b"\n")
    assert lines[:2] == [b"id: 2-9", b"event: text.delta"]
    assert lines[3:] == [b"", b""]
    assert msgspec.json.decode(lines[2].removeprefix(b"data: ")) == {"item": "m1", "text": text}
    assert b"\r" not in lines[2]


@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_cursor_reads_what_it_writes(epoch: int, pos: int) -> None:
    """The id of a frame, sent back, is the same place."""
    assert Cursor.parse(str(Cursor(epoch, pos))) == (epoch, pos)


@given(st.text(max_size=50))
@example("")
@example("-")
@example("1-")
@example("-1")
@example("1--2")
@example("1-2-3")
@example("+1-2")
@example("1-2 ")
@example("\uff11-\uff12")  # full-width digits
@example("1-" + "9" * 60)
def test_any_other_last_event_id_is_refused(value: str) -> None:
    """What is not an id is refused by name, with the field, and never crashes."""
    epoch, _, pos = value.partition("-")
    if epoch.isascii() and epoch.isdigit() and pos.isascii() and pos.isdigit() and len(value) <= 40:
        assert Cursor.parse(value) == (int(epoch), int(pos))
        return
    with pytest.raises(InvalidRequest) as caught:
        Cursor.parse(value)
    assert caught.value.fields["field"] == "Last-Event-ID"
    assert caught.value.remedy


@given(st.decimals(0, 10**6, places=9))
def test_money_never_counts_less_than_was_billed(usd: Decimal) -> None:
    """Rounding is upwards, by less than a micro-dollar."""
    assert 0 <= Decimal(microusd(usd)) - usd * MICROUSD_PER_USD < 1


@given(st.integers(-(10**15), 10**15))
def test_money_as_text_loses_nothing(amount: int) -> None:
    """The text of an amount is the amount, exactly."""
    assert Decimal(usd_text(amount).replace("$", "")) * MICROUSD_PER_USD == amount


@given(st.integers(0, 2**48 - 2), st.integers(1, 10**9), st.integers(), st.integers())
def test_ids_sort_by_time(start_ms: int, later_ms: int, first_seed: int, second_seed: int) -> None:
    """An id of a later millisecond sorts behind, whatever its random part."""
    end_ms = min(start_ms + later_ms, 2**48 - 1)
    early: Clock = _At((start_ms + 0.5) / 1_000)
    late: Clock = _At((end_ms + 0.5) / 1_000)
    assert Ids(early, SeededChance(first_seed)).new("r") < Ids(late, SeededChance(second_seed)).new("r")


@given(st.integers(0, 100), st.integers(0, 200))
def test_the_reason_a_stream_ends_is_always_told(at: int, pos: int) -> None:
    """An error frame counts nothing, so it is behind every position."""
    frame = Frame(1, at, "", "status", ERROR, msgspec.Raw(b"{}"))
    assert frame.after(pos) is frame


@given(st.lists(st.integers(-5, 5), max_size=200), st.integers(0, 2**32))
def test_ids_of_one_maker_sort_in_the_order_they_were_made(steps_ms: list[int], seed: int) -> None:
    """Within one millisecond, and while the clock is set back, each id sorts behind the one before."""
    clock = _At(1_700_000_000.0)
    ids = Ids(clock, SeededChance(seed))
    made = []
    for step in steps_ms:
        clock._now += step / 1000
        made.append(ids.new("run"))
    assert made == sorted(set(made))
