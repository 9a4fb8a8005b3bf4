"""The checks' HTTP client: what it shows of a request, what it hides, and how it reads streams."""

import asyncio
import subprocess
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.checklist.http import MAX_KEPT_BYTES, Http, Reply, Sent, Unreachable
from golive.checklist.sse import Arrived, Parser
from golive.core.clock import SystemClock

KEY = "gl_abcdefgh_" + "s3cret" * 7 + "x"


def http() -> Http:
    found = Http(SystemClock())
    found.conceal(KEY, "$GOLIVE_KEY")
    return found


def test_a_command_puts_the_variable_where_the_key_was() -> None:
    """The shell sends what we sent: quotes, spaces and newlines survive, the key comes from the environment."""
    body = b'{"input":"it\'s \\"fine\\" $HOME `date`\\n"}'
    sent = Sent("POST", f"http://h/x?api_key={KEY}&a=1", {"Authorization": f"Bearer {KEY}"}, body, 0.0)
    command = http().curl(sent)
    assert KEY not in command
    script = f'curl() {{ for word in "$@"; do printf "%s\\0" "$word"; done; }}; {command}'
    done = subprocess.run(["sh", "-c", script], env={"GOLIVE_KEY": KEY}, capture_output=True, check=True)
    words = done.stdout.split(b"\0")
    assert words[:-1] == [
        b"-sS", b"-X", b"POST", b"-H", f"Authorization: Bearer {KEY}".encode(), b"-d", body,
        f"http://h/x?api_key={KEY}&a=1".encode(),
    ]  # fmt: skip


def test_secrets_stand_nowhere_in_evidence() -> None:
    """Not in the command, not in headers, not in the body; a secret that contains another is hidden whole."""
    client = http()
    client.conceal(KEY + "-longer", "$OTHER")
    sent = Sent("GET", "http://h/", {"X-Api-Key": KEY + "-longer"}, b"", 0.0)
    reply = Reply(sent, 200, {"location": f"/k/{KEY}"}, f"you sent {KEY}-longer and {KEY}".encode(), 0.1)
    found = client.evidence(reply, f"note {KEY}")
    assert KEY not in found.did + found.got
    assert "you sent $OTHER and $GOLIVE_KEY" in found.got
    assert "note $GOLIVE_KEY" in found.got


def test_answers_are_remembered_within_a_bound() -> None:
    """The oldest are forgotten first; the newest is always kept."""
    client = http()
    size = MAX_KEPT_BYTES // 3
    for number in range(5):
        client._remember(Reply(Sent("GET", str(number), {}, b"", 0.0), 200, {}, b"x" * size, 0.0))
    assert [asked for asked, _ in client.answers] == ["GET 3", "GET 4"]


_LINE = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=8)


@given(
    events=st.lists(st.tuples(st.integers(0, 99), _LINE.map(str.strip), st.lists(_LINE, min_size=1, max_size=3))),
    cuts=st.lists(st.integers(0, 400), max_size=12),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_events_are_the_same_however_the_bytes_are_cut(
    events: list[tuple[int, str, list[str]]], cuts: list[int], end: str
) -> None:
    """Reads may end anywhere, also inside a character or a line end; comments are left out."""
    text = ""
    for number, name, lines in events:
        text += f"id: {number}{end}event: {name}{end}: a comment{end}"
        text += "".join(f"data: {line}{end}" for line in lines) + end
    raw = text.encode()
    places = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    parser = Parser()
    found: list[Arrived] = []
    for read, (start, stop) in enumerate(pairwise(places), start=1):
        found += [event for event in parser.feed(raw[start:stop], float(read)) if event.read == read]
    expected = [(str(number), name, "\n".join(lines).encode()) for number, name, lines in events]
    assert [(event.id, event.event, event.data) for event in found] == expected


def test_an_event_without_its_end_is_none() -> None:
    """What a cut connection leaves over is not taken for an event."""
    parser = Parser()
    assert list(parser.feed(b"data: half", 0.1)) == []
    assert [event.data for event in parser.feed(b" a line\n\n", 0.2)] == [b"half a line"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "the connection was closed before an answer came"),
        (b"what?\r\n\r\n", "the answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "the answer broke off"),
    ],
)
async def test_a_server_that_fails_is_told_in_plain_words(answer: bytes, words: str) -> None:
    """What happened, and nothing of the library's own."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"
        assert await failure(url) == f"GET {url} failed: {words}."


@pytest.mark.parametrize(
    ("url", "words"), [("http://127.0.0.1:9/x", "connection refused"), ("http://", "that is no address")]
)
async def test_nobody_there_is_told_in_plain_words(url: str, words: str) -> None:
    """A port where nothing listens, and what is no address."""
    assert await failure(url) == f"GET {url} failed: {words}."


async def failure(url: str) -> str:
    """The message of a GET that fails."""
    async with http() as client:
        with pytest.raises(Unreachable) as failed:
            await client.send("GET", url)
    return failed.value.message
