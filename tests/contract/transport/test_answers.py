"""The contract of an answer from a provider: however it is framed, cut, delayed or broken off."""

import asyncio

import pytest

from golive.models.http_connection import MAX_HEAD_BYTES, READ_AHEAD_BYTES
from golive.models.transport import BodyTooLong, Disconnected, ProtocolBroken
from tests.contract.transport.kit import LIMIT_S, OK, Net, turns, until

PACKET_BYTES = 262_144
"""The most an event loop reads at once."""
MEGABYTE = 1_048_576
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LONG = HEAD + b"Content-Length: %d\r\n\r\n"

KEPT: dict[str, tuple[bytes, int, bytes]] = {
    "content-length": (HEAD + b"Content-Length: 5\r\n\r\nhello", 200, b"hello"),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", 200, b"hello"),
    "chunked": (CHUNKED + b"5\r\nhello\r\nB;x=y\r\n, all of it\r\n0\r\n\r\n", 200, b"hello, all of it"),
    "chunked with padded sizes": (CHUNKED + b"5  \r\nhello\r\n0  \r\n\r\n", 200, b"hello"),
    "chunked with trailers": (CHUNKED + b"5\r\nhello\r\n0\r\nX-Late: 1\r\nX-Later: 2\r\n\r\n", 200, b"hello"),
    "chunked, and packed": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n1\r\n\x1f\r\n0\r\n\r\n", 200, b"\x1f"),
    "chunked and empty": (CHUNKED + b"0\r\n\r\n", 200, b""),
    "empty": (HEAD + b"Content-Length: 0\r\n\r\n", 200, b""),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", 304, b""),
    "an error": (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", 500, b"no"),
    "100 first": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
    "103 first": (b"HTTP/1.1 103 Early Hints\r\nX-Late: 1\r\n\r\n" * 2 + OK, 200, b"ok"),
    "an upgrade on offer": (HEAD + b"Upgrade: h2\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
    "1.0 that keeps": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 200, b"ok"),
}  # fmt: skip
CLOSED: dict[str, tuple[bytes, int, bytes]] = {
    "until the end": (HEAD + b"\r\nhello", 200, b"hello"),
    "nothing until the end": (HEAD + b"\r\n", 200, b""),
    "identity until the end": (HEAD + b"Transfer-Encoding: Identity\r\n\r\nhello", 200, b"hello"),
    "content-length and close": (HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "chunked and close": (CHUNKED[:-2] + b"Connection: Close\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok"),
    "1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
    "1.0 until the end": (b"HTTP/1.0 200 OK\r\n\r\nhello", 200, b"hello"),
}  # fmt: skip


def named(cases: dict[str, tuple[bytes, int, bytes]]) -> list[object]:
    return [pytest.param(*case, id=name.replace(" ", "-")) for name, case in cases.items()]


@pytest.mark.parametrize("size", [1, 7, 65_536])
@pytest.mark.parametrize(("raw", "status", "body"), named(KEPT))
async def test_a_whole_answer_leaves_its_connection_to_the_next(
    net: Net, raw: bytes, status: int, body: bytes, size: int
) -> None:
    """Cut anywhere: status and body are right, and the same connection carries the next request, untouched."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    assert (await peer.request())[1] == b"hi"
    await peer.send_cut(raw, size)
    response = await asking
    assert (response.status, await response.read(100)) == (status, body)
    again = net.ask(client, server.url)
    await peer.answer()
    assert (await again).header("x-late") is None, "what an interim answer or a trailer says is no header"
    assert await (await again).read(100) == b"ok"
    assert server.accepted == 1


@pytest.mark.parametrize("size", [1, 65_536])
@pytest.mark.parametrize(("raw", "status", "body"), named(CLOSED))
async def test_an_answer_that_ends_its_connection(net: Net, raw: bytes, status: int, body: bytes, size: int) -> None:
    """The body is whole, and the next request goes over a new connection."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.request()
    await peer.send_cut(raw, size)
    peer.close()
    response = await asking
    assert (response.status, await response.read(100)) == (status, body)
    again = net.ask(client, server.url)
    await (await server.peer()).answer()
    assert await (await again).read(100) == b"ok"
    assert server.accepted == 2


async def test_a_connection_is_closed_at_once_where_the_server_said_so(net: Net) -> None:
    """`Connection: close`: this side does not wait for the server to do it."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\nok")
    assert await (await asking).read(2) == b"ok"
    await peer.gone()
    await until(lambda: client.open_connections == 0)


async def test_headers_are_found_in_any_case(net: Net) -> None:
    """Names in any case, both ways; of a repeated header the first; empty and non-ASCII values as they stand."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    await (await server.peer()).answer(
        HEAD
        + b"RETRY-after: 7\r\nX-Twice: a\r\nx-twice: b\r\nX-Empty:\r\nX-Odd:  caf\xe9 \r\ncontent-LENGTH: 0\r\n\r\n"
    )
    response = await asking
    names = ("Retry-After", "retry-after", "X-TWICE", "x-empty", "x-odd", "x-none")
    assert [response.header(name) for name in names] == ["7", "7", "a", "", "café", None]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"220 mail.example ESMTP\r\n", "Expected HTTP/, RTSP/ or ICE/"),
        (b"<html>no</html>", "Expected HTTP/, RTSP/ or ICE/"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "Expected HTTP/, RTSP/ or ICE/"),
        (b"HTTP/1.1 OK\r\n\r\n", "Invalid status code"),
        (b"HTTP/1.1 000 No\r\nContent-Length: 0\r\n\r\n", "000 is no status"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "it wants to speak another protocol"),
        (HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", "Duplicate Content-Length"),
        (HEAD + b"A B: c\r\n\r\n", "Invalid header token"),
    ],
    ids=["mail", "html", "tls-alert", "no-number", "zero", "upgrade", "two-lengths", "a-broken-header"],
)
async def test_what_is_not_http_is_called_so(net: Net, raw: bytes, words: str) -> None:
    """ProtocolBroken with the reason; the request may have been carried out; the connection is closed."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(raw)
    with pytest.raises(ProtocolBroken) as told:
        await asking
    assert (str(told.value), told.value.sent) == (words, True)
    await peer.gone()
    await until(lambda: client.open_connections == 0)


@pytest.mark.parametrize(
    ("begin", "more"),
    [
        (HEAD + b"X-Long: ", b"a" * 1000),
        (HEAD, b"X-Many: 1\r\n" * 100),
        (b"", b"\r\n" * 500),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 40),
        (b"HTTP/1.1 200 " + b"O" * 1000, b"O" * 1000),
    ],
    ids=["one-header", "many-headers", "blank-lines", "interim-answers", "the-reason"],
)
async def test_an_endless_head_is_given_up(net: Net, begin: bytes, more: bytes) -> None:
    """A head that does not end is no HTTP, from a fixed length on."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(begin)
    while not asking.done():
        peer.send(more)
        await turns(2)
    with pytest.raises(ProtocolBroken, match=f"^the head of its answer is longer than {MAX_HEAD_BYTES} bytes$"):
        await asking


@pytest.mark.parametrize(
    ("begin", "more"),
    [(b"0\r\n", b"X-Many: 1\r\n" * 100), (b"0\r\nX-Long: ", b"a" * 1000), (b"5;x=", b"a" * 1000)],
    ids=["trailers", "one-trailer", "a-chunk-extension"],
)
async def test_endless_framing_is_given_up(net: Net, begin: bytes, more: bytes) -> None:
    """What is no body may not go on forever either; the body before it is read first."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(CHUNKED + b"5\r\nhello\r\n" + begin)
    response = await asking
    assert await response.chunk() == b"hello"
    ending = asyncio.get_running_loop().create_task(response.chunk())
    while not ending.done():
        peer.send(more)
        await turns(2)
    with pytest.raises(Disconnected, match=f"^the framing of its answer is longer than {MAX_HEAD_BYTES} bytes$"):
        await ending


TRUNCATED = {
    "content-length": HEAD + b"Content-Length: 10\r\n\r\nhello",
    "within a chunk": CHUNKED + b"A\r\nhello",
    "between chunks": CHUNKED + b"5\r\nhello\r\n",
    "before the last line": CHUNKED + b"5\r\nhello\r\n0\r\n",
}


@pytest.mark.parametrize("read_late", [False, True])
@pytest.mark.parametrize("raw", TRUNCATED.values(), ids=TRUNCATED)
async def test_a_truncated_body_is_given_out_and_then_told(net: Net, raw: bytes, read_late: bool) -> None:
    """What came is read first, whenever it is read; then Disconnected, each time one asks."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(raw)
    response = await asking
    peer.close()
    if read_late:
        await until(lambda: client.open_connections == 0)
    assert await response.chunk() == b"hello"
    for _ in range(2):
        with pytest.raises(Disconnected, match=r"^the connection ended before the body did$"):
            await response.chunk()


@pytest.mark.parametrize("raw", [HEAD + b"\r\nhello", TRUNCATED["content-length"]], ids=["until-the-end", "length"])
async def test_a_reset_is_no_end(net: Net, raw: bytes) -> None:
    """A body that lasts until the end and is reset instead was cut; what had come is given out."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(raw)
    response = await asking
    peer.reset()
    await until(lambda: client.open_connections == 0)
    assert await response.chunk() == b"hello"
    with pytest.raises(Disconnected, match=r"^connection reset by peer$"):
        await response.chunk()


@pytest.mark.parametrize("part", [b"", b"HT", b"HTTP/1.1 200 OK\r\nX: "])
@pytest.mark.parametrize("reset", [False, True])
async def test_no_answer_at_all(net: Net, reset: bool, part: bytes) -> None:
    """The server hangs up before the head is whole: Disconnected, and the request counts as sent."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(part)
    await turns()
    (peer.reset if reset else peer.close)()
    words = "connection reset by peer" if reset else "the server closed the connection without an answer"
    with pytest.raises(Disconnected) as told:
        await asking
    assert (str(told.value), told.value.sent, type(told.value)) == (words, True, Disconnected)


async def test_a_broken_chunk_in_the_middle(net: Net) -> None:
    """The body before it is read; then Disconnected says what was wrong, and the connection is closed."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(CHUNKED + b"5\r\nhello\r\nzz\r\n")
    response = await asking
    assert await response.chunk() == b"hello"
    with pytest.raises(Disconnected, match=r"^Invalid character in chunk size$"):
        await response.chunk()
    await peer.gone()


@pytest.mark.parametrize(
    "behind",
    [OK.replace(b"ok", b"no"), b"HTTP/1.1 200 OK\r\nContent-Le", b"H", b"\0", b"trailing words", b"\r\n\r\nHTTP/1.1 5"],
    ids=["whole", "half", "a-letter", "a-null", "words", "after-blank-lines"],
)
async def test_what_comes_behind_an_answer_answers_nobody(net: Net, behind: bytes) -> None:
    """In the same packet: the answer stands, its connection is closed, and the next request has its own answer."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(OK + behind)
    response = await asking
    again = net.ask(client, server.url)
    assert await response.read(100) == b"ok"
    await (await server.peer()).answer(LONG % 5 + b"right")
    assert await (await again).read(100) == b"right"
    await peer.gone()


async def test_a_body_too_long_is_not_kept(net: Net) -> None:
    """`read` gives up past its limit; a body of just the limit is fine."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(LONG % 5 + b"hello")
    assert await (await asking).read(5) == b"hello"
    asking = net.ask(client, server.url)
    await peer.answer(LONG % 5 + b"hello")
    with pytest.raises(BodyTooLong, match=r"^the answer is longer than 4 bytes$"):
        await (await asking).read(4)


@pytest.mark.parametrize("framed", ["whole", "chunked"])
async def test_a_slow_reader_holds_little(net: Net, framed: str) -> None:
    """Nobody reads: the socket is no longer read and the server waits. Then every byte arrives."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    pieces = [bytes([number]) * MEGABYTE for number in range(64)]
    await peer.answer(LONG % (64 * MEGABYTE) if framed == "whole" else CHUNKED)
    response = await asking
    sent = 0

    async def serve() -> None:
        nonlocal sent
        for piece in pieces:
            peer.send(piece if framed == "whole" else b"100000\r\n" + piece + b"\r\n")
            await peer.writer.drain()
            sent += 1
        peer.send(b"" if framed == "whole" else b"0\r\n\r\n")

    serving = asyncio.get_running_loop().create_task(serve())
    seen = -1
    while seen != sent:
        seen = sent
        await asyncio.sleep(0.1)
    assert sent < 64
    first = await response.chunk()
    assert 0 < len(first) <= READ_AHEAD_BYTES + PACKET_BYTES
    assert first + await response.read(65 * MEGABYTE) == b"".join(pieces)
    await serving
    again = net.ask(client, server.url)
    await peer.answer()
    assert await (await again).read(2) == b"ok"


async def test_tiny_pieces_are_held_to_the_same_memory(net: Net) -> None:
    """A piece of two bytes costs more than two bytes to hold, and is counted so."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(CHUNKED + b"2\r\nab\r\n" * 400_000 + b"0\r\n\r\n")
    response = await asking
    await turns(200)
    first = await response.chunk()
    assert len(first) <= 2 * (READ_AHEAD_BYTES / 50 + PACKET_BYTES / 7)
    assert first + await response.read(MEGABYTE) == b"ab" * 400_000


async def test_many_small_chunks_leave_others_their_turn(net: Net) -> None:
    """However much has come, each read gives the other tasks a turn."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(CHUNKED + b"5\r\nhello\r\n" * 300_000)
    response = await asking
    loop = asyncio.get_running_loop()
    went = 0

    async def others() -> None:
        nonlocal went
        while True:
            went += 1
            await asyncio.sleep(0)

    beside = loop.create_task(others())
    reads = size = 0
    while size < 5 * 300_000:
        before = went
        size += len(await response.chunk())
        reads += 1
        assert went > before or reads == 1
    beside.cancel()
    assert size == 5 * 300_000
    response.close()


@pytest.mark.parametrize("leave", ["close", "cancel"])
async def test_leaving_in_the_middle_of_a_body_closes_the_connection(net: Net, leave: str) -> None:
    """Closed, or cancelled while reading: the server sees it at once, and the pool keeps nothing."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(LONG % 10 + b"hello")
    response = await asking
    assert await response.chunk() == b"hello"
    reading = asyncio.get_running_loop().create_task(response.chunk())
    await turns()
    if leave == "cancel":
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    response.close()
    response.close()
    async with asyncio.timeout(LIMIT_S):
        await peer.gone()
    await until(lambda: client.open_connections == 0)
    if leave == "close":
        with pytest.raises(Disconnected, match=r"^the connection was closed on this side$"):
            await reading
