"""The fault proxy passes on what it should, and breaks what it is told to."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.chaos.fault_proxy import FaultProxy


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """A proxy before a server that answers each line with the same in capitals."""

    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    server = await asyncio.start_server(shout, "127.0.0.1", 0)
    made = FaultProxy("test", server.sockets[0].getsockname()[:2])
    await made.start()
    yield made
    await made.stop()
    server.close()


async def ask(proxy: FaultProxy, line: bytes = b"hello\n") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        writer.write(line)
        return await reader.readline()
    finally:
        writer.close()


async def test_what_is_said_arrives_with_its_end(proxy: FaultProxy) -> None:
    """Both ways, and the end of one side is passed on."""
    assert await ask(proxy) == b"HELLO\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"last\n")
    writer.write_eof()
    assert await reader.read() == b"LAST\n"
    writer.close()


async def test_a_drop_resets_what_is_open(proxy: FaultProxy) -> None:
    """Who is connected meets a reset, and who comes after is served."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"hello\n")
    assert await reader.readline() == b"HELLO\n"
    assert proxy.drop() == 1
    with pytest.raises(ConnectionResetError):
        await reader.readline()
    assert await ask(proxy) == b"HELLO\n"


async def test_refusing_resets_at_once(proxy: FaultProxy) -> None:
    """Nobody is served until it is well again."""
    proxy.refusing = True
    with pytest.raises(ConnectionResetError):
        await ask(proxy)
    proxy.well()
    assert await ask(proxy) == b"HELLO\n"


async def test_what_is_held_passes_later(proxy: FaultProxy) -> None:
    """Silence, and then everything, in order."""
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    writer.write(b"one\n")
    assert await reader.readline() == b"ONE\n"
    proxy.hold()
    writer.write(b"two\n")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await reader.readline()
    writer.write(b"three\n")
    proxy.release()
    assert await reader.readline() == b"TWO\n"
    assert await reader.readline() == b"THREE\n"
    writer.close()


async def test_a_server_that_is_away_is_a_reset(proxy: FaultProxy) -> None:
    """As a port is that nobody listens on."""
    away = FaultProxy("away", "no/such/socket")
    await away.start()
    with pytest.raises(ConnectionResetError):
        await ask(away)
    await away.stop()
