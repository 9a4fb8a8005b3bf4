"""How a command finds its server, and reads what the server says."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from golive.cli.client import Address, ServerSentEvent, known_server, refused
from golive.cli.client import _events as events_of
from golive.cli.running import run
from golive.config.secret_use import CLIENT_FILE

STREAM = (
    b": heartbeat\n\n"
    b'id: 1-1\nevent: run.accepted\ndata: {"run":"r"}\n\n'
    b'id: 1-9\r\nevent: text.delta\r\ndata: {"text":"\xc3\xa9"}\r\n\r\n'
    b"event: nothing\n\n"
    b"data: [DONE]\n\n"
)
EVENTS = [
    ServerSentEvent("1-1", "run.accepted", b'{"run":"r"}'),
    ServerSentEvent("1-9", "text.delta", '{"text":"é"}'.encode()),
    ServerSentEvent("", "", b"[DONE]"),
]


async def _read(pieces: list[bytes]) -> list[ServerSentEvent]:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return [event async for event in events_of(chunks())]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_a_stream_reads_the_same_however_it_is_cut(cuts: list[int]) -> None:
    """Reads may end anywhere, also inside a character, a line break or a name."""
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[begin:end] for begin, end in itertools.pairwise(edges)]
    assert asyncio.run(_read(pieces)) == EVENTS


async def test_a_long_line_is_one_event() -> None:
    """A result of many megabytes is read like any other."""
    data = b'"' + b"x" * 5_000_000 + b'"'
    line = b"data: " + data + b"\n\n"
    (event,) = await _read([line[start : start + 65_536] for start in range(0, len(line), 65_536)])
    assert event.data == data


@pytest.mark.parametrize(
    ("raw", "message", "remedy"),
    [
        (b'{"detail":"No.","remedy":"Do.","code":"x"}', "No.", "Do."),
        (b'{"error":{"message":"Nope.","type":"t","param":null,"code":"c"}}', "Nope.", ""),
        (b"<html>bad gateway</html>", "the server answered 502: <html>bad gateway</html>", ""),
        (b"[1]", "the server answered 502: [1]", ""),
        (b"\xff\xfe", "the server answered 502: \ufffd\ufffd", ""),
    ],
)
def test_a_refusal_is_told_whatever_its_shape(raw: bytes, message: str, remedy: str) -> None:
    """A problem document, OpenAI's error, or what some proxy said."""
    error = refused(502, raw)
    assert (error.message, error.remedy, error.fields["status"]) == (message, remedy, 502)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which a server has left its address."""
    for name in ("GOLIVE_URL", "GOLIVE_KEY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "golive.toml").write_text("")
    (tmp_path / CLIENT_FILE).parent.mkdir()
    leave(tmp_path, os.getpid())
    (tmp_path / "agents/x").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "agents/x")
    return tmp_path


def leave(folder: Path, pid: int) -> None:
    (folder / CLIENT_FILE).write_bytes(msgspec.json.encode(Address("http://dev", "gl_dev", pid)))


def test_the_address_is_found_from_below(project: Path) -> None:
    """From any folder of the project, and by --config as a file or a folder."""
    for config in (None, project, project / "golive.toml"):
        assert known_server(config, None, None) == Address("http://dev", "gl_dev")


def test_what_is_said_wins(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--url before GOLIVE_URL before the address left; a key goes with each of them."""
    assert known_server(None, None, "gl_mine") == Address("http://dev", "gl_mine")
    monkeypatch.setenv("GOLIVE_URL", "http://env")
    monkeypatch.setenv("GOLIVE_KEY", "gl_env")
    assert known_server(None, None, None) == Address("http://env", "gl_env")
    assert known_server(None, "http://said", "gl_said") == Address("http://said", "gl_said")


def test_a_dead_or_broken_address_is_none(project: Path) -> None:
    """A process that is gone, a file that is not its own, or none at all: the command starts a server itself."""
    for pid in (0, -1, 2**22 + 1, 2**40):
        leave(project, pid)
        assert known_server(None, None, None) is None
    (project / CLIENT_FILE).write_text("{")
    assert known_server(None, None, None) is None
    (project / CLIENT_FILE).unlink()
    assert known_server(None, None, None) is None


def test_a_result_comes_through() -> None:
    """`run` gives what the work gives, and lets its cancellation of its own through."""

    async def work() -> int:
        return 7

    async def cancelled() -> None:
        raise asyncio.CancelledError

    assert run(work()) == 7
    with pytest.raises(asyncio.CancelledError):
        run(cancelled())
