"""The protocol between server and worker holds, however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.workers import protocol
from golive.workers.protocol import MAX_FRAME_BYTES, Call, Cancel, Frames, ProtocolBroken, Setup, Stop

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
MESSAGES = st.one_of(
    st.builds(Setup, TEXT, st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)),
    st.builds(Call, st.integers(0, 2**60), TEXT, st.binary(max_size=300), TEXT, TEXT, TEXT, st.floats(0, 1e6)),
    st.builds(Cancel, st.integers(0, 2**60)),
    st.just(Stop()),
)


@given(st.lists(MESSAGES, max_size=8), st.lists(st.integers(0, 4_000), max_size=12))
def test_messages_survive_any_cut(messages: list[protocol.ToWorker], cuts: list[int]) -> None:
    """What was sent comes out, once and in order, wherever the stream was cut into reads."""
    data = b"".join(map(protocol.encode, messages))
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    frames = Frames(protocol.to_worker)
    received = [message for start, end in pairwise(edges) for message in frames.feed(data[start:end])]
    assert received == messages


@given(st.binary(min_size=1, max_size=200))
def test_rubbish_is_refused_or_waits_but_never_crashes(data: bytes) -> None:
    """Bytes that are not our protocol end in ProtocolBroken, or in waiting for the rest of a frame."""
    frames = Frames(protocol.to_worker)
    try:
        frames.feed(data)
    except ProtocolBroken:
        return


def test_a_frame_above_the_maximum_is_refused_before_it_is_read() -> None:
    """Its length alone suffices."""
    with pytest.raises(ProtocolBroken, match=str(MAX_FRAME_BYTES + 1)):
        Frames(protocol.to_worker).feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
