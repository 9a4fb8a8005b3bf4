"""The contract of the pool: which connection a request takes, who waits for one, and that none is left behind."""

import asyncio
from collections.abc import Callable

import pytest

from golive.models import transport_http
from golive.models.http_connection import HttpConnection, HttpResponse
from golive.models.transport import ConnectFailed, ConnectTimedOut, Disconnected
from golive.models.transport_http import HttpTransport
from tests.contract.transport.kit import LIMIT_S, OK, Names, Net, Peer, turns, until

Asking = asyncio.Task[HttpResponse]


class Meddler(HttpTransport):
    """Tells the test the moment a connection has been given back, before any task learns of it."""

    then: Callable[[], object] | None = None

    def _freed(self, connection: HttpConnection) -> None:
        super()._freed(connection)
        then, self.then = self.then, None
        if then is not None:
            then()


async def small(asking: Asking) -> bytes:
    """The body of a small answer."""
    async with asyncio.timeout(LIMIT_S):
        return await (await asking).read(100)


async def test_the_connection_used_last_is_used_next(net: Net) -> None:
    """Three at once make three connections; then one at a time, over one of them."""
    client, server = net.client(), await net.listen()
    asking = [net.ask(client, server.url) for _ in range(3)]
    peers = [await server.peer() for _ in range(3)]
    for peer in peers:
        await peer.answer()
    assert [await small(each) for each in asking] == [b"ok"] * 3
    used: Peer | None = None
    for _ in range(3):
        again = net.ask(client, server.url, b"again")
        if used is None:
            await turns()
            (used,) = [peer for peer in peers if peer.reader._buffer]  # type: ignore[attr-defined]
        assert await used.answer() == b"again"
        assert await small(again) == b"ok"
    assert (server.accepted, client.open_connections) == (3, 3)


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", b"\r\n", b"\0"])
@pytest.mark.parametrize("end", ["close", "reset", "stay"])
async def test_an_idle_connection_that_ends_or_speaks_is_not_used(net: Net, words: bytes, end: str) -> None:
    """Closed, reset, or something said that nobody asked for: the next request goes over a new connection."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer()
    assert await small(asking) == b"ok"
    if end == "stay" and not words:
        words = b"HTTP"
    peer.send(words)
    if end != "stay":
        (peer.close if end == "close" else peer.reset)()
    await until(lambda: client.open_connections == 0)
    again = net.ask(client, server.url)
    await (await server.peer()).answer()
    assert await small(again) == b"ok"
    assert server.accepted == 2


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_kept_connection_that_ends_as_it_is_used(net: Net, end: str) -> None:
    """The race nobody can win: the server hangs up just when the request comes. It counts as sent."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer()
    assert await small(asking) == b"ok"
    again = net.ask(client, server.url)
    (peer.close if end == "close" else peer.reset)()
    with pytest.raises(Disconnected) as told:
        await again
    assert told.value.sent is True
    assert server.accepted == 1


async def test_a_whole_answer_that_is_not_read_keeps_no_connection(net: Net) -> None:
    """What has come belongs to its reader; the connection to the next request. Reading late disturbs nobody."""
    client, server = net.client(), await net.listen()
    first = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst")
    unread = await first
    second = net.ask(client, server.url)
    await peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsec")
    unread.close()
    assert await (await second).chunk() == b"sec"
    assert await unread.read(100) == b"first"
    peer.send(b"ond")
    assert await (await second).chunk() == b"ond"
    assert (await (await second).chunk(), server.accepted) == (b"", 1)


async def test_idle_connections_are_closed_after_a_while(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep closes what was long idle; what is in use stays."""
    monkeypatch.setattr(transport_http, "SWEEP_S", 0.01)
    monkeypatch.setattr(transport_http, "KEEPALIVE_S", 0.02)
    client, server = net.client(), await net.listen()
    busy, idle = net.ask(client, server.url, b"a"), net.ask(client, server.url, b"b")
    peers = {(await peer.request())[1]: peer for peer in [await server.peer(), await server.peer()]}
    peers[b"b"].send(OK)
    assert await small(idle) == b"ok"
    await peers[b"b"].gone()
    await until(lambda: client.open_connections == 1)
    peers[b"a"].send(OK)
    assert await small(busy) == b"ok"
    await until(lambda: client.open_connections == 0)


# ---- the limit


async def test_who_waits_for_a_connection_is_served_in_order(net: Net) -> None:
    """Never more connections than the limit; and whoever waited first is served first, newcomers last."""
    client, server = net.client(Meddler(max_connections=2)), await net.listen()
    asking = [net.ask(client, server.url, b"%d" % number) for number in range(6)]
    peers = [await server.peer(), await server.peer()]
    order = []
    for number in range(4):
        peer = peers[number % 2]
        order.append((await peer.request())[1])
        # A newcomer that asks in the very turn in which the connection comes back.
        newcomer = b"%d" % (6 + number)
        client.then = lambda body=newcomer: asking.append(net.ask(client, server.url, body))  # type: ignore[misc]
        peer.send(OK)
        await turns()
    for number in range(4, 10):
        order.append(await peers[number % 2].answer())
        await turns()
    assert sorted(order[:2]) == [b"0", b"1"]
    assert order[2:] == [b"%d" % number for number in range(2, 10)]
    assert [await small(each) for each in asking] == [b"ok"] * 10
    assert (server.accepted, client.open_connections) == (2, 2)


async def test_waiting_for_a_connection_is_limited(net: Net) -> None:
    """ConnectTimedOut within `connect_s`, nothing sent; the place goes to the next."""
    client, server = net.client(max_connections=1), await net.listen()
    first = net.ask(client, server.url)
    peer = await server.peer()
    late = net.ask(client, server.url, b"late", connect_s=0.02)
    patient = net.ask(client, server.url, b"patient")
    with pytest.raises(ConnectTimedOut) as told:
        await late
    assert (str(told.value), told.value.sent) == ("no connection within 0.02 s", False)
    await peer.answer()
    assert await small(first) == b"ok"
    assert await peer.answer() == b"patient"
    assert await small(patient) == b"ok"


@pytest.mark.parametrize("same_host", [True, False])
async def test_a_turn_that_is_not_taken_goes_to_the_next(net: Net, same_host: bool) -> None:
    """Cancelled in the very turn in which it was given the connection (or the room for one): the next has it."""
    client, server, other = net.client(Meddler(max_connections=1)), await net.listen(), await net.listen()
    first = net.ask(client, server.url)
    peer = await server.peer()
    await peer.request()
    cancelled = net.ask(client, (server if same_host else other).url, b"cancelled")
    second = net.ask(client, other.url, b"second")
    await turns()
    client.then = cancelled.cancel
    peer.send(OK)
    assert await small(first) == b"ok"
    assert await (await other.peer()).answer() == b"second"
    assert await small(second) == b"ok"
    assert cancelled.cancelled()
    assert client.open_connections == 1


async def test_a_turn_whose_connection_ends_is_waited_for_again(net: Net) -> None:
    """The server hangs up right behind its answer: who was to have the connection makes one."""
    client, server = net.client(max_connections=1), await net.listen()
    first = net.ask(client, server.url)
    peer = await server.peer()
    second = net.ask(client, server.url, b"second")
    await peer.request()
    peer.send(OK + OK)
    assert await small(first) == b"ok"
    assert await (await server.peer()).answer() == b"second"
    assert await small(second) == b"ok"


async def test_cancelled_with_its_answer_there_leaves_the_next_alone(net: Net) -> None:
    """The answer came whole, its connection carries another request, and only then its task is cancelled."""
    client, server = net.client(Meddler(max_connections=1)), await net.listen()
    first, second = net.ask(client, server.url, b"first"), net.ask(client, server.url, b"second")
    peer = await server.peer()
    await peer.request()
    client.then = first.cancel
    peer.send(OK)
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await peer.answer() == b"second"
    assert await small(second) == b"ok"
    assert server.accepted == 1


async def test_an_idle_connection_makes_room_for_another_host(net: Net) -> None:
    """At the limit an idle connection elsewhere is closed; a busy one is waited for, and then makes room too."""
    client, server, other = net.client(max_connections=1), await net.listen(), await net.listen()
    first = net.ask(client, server.url)
    old = await server.peer()
    await old.answer()
    assert await small(first) == b"ok"
    second = net.ask(client, other.url)
    await old.gone()
    busy = await other.peer()
    third = net.ask(client, server.url, b"third")
    await turns()
    assert (server.accepted, client.open_connections) == (1, 1)
    await busy.answer()
    assert await small(second) == b"ok"
    await busy.gone()
    assert await (await server.peer()).answer() == b"third"
    assert await small(third) == b"ok"
    assert client.open_connections == 1


async def test_room_that_was_not_used_goes_to_the_next(net: Net) -> None:
    """Whoever had the turn could not connect: the next in line has it."""
    client, server = net.client(max_connections=1), await net.listen()
    first = net.ask(client, server.url)
    peer = await server.peer()
    refused = net.ask(client, "http://127.0.0.1:9/v1")
    second = net.ask(client, server.url, b"second")
    await peer.answer(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    assert await small(first) == b"ok"
    with pytest.raises(ConnectFailed, match=r"^connection refused$"):
        await refused
    assert await (await server.peer()).answer() == b"second"
    assert await small(second) == b"ok"


# ---- the end


async def test_cancelled_while_it_waits_for_the_answer(net: Net) -> None:
    """The server sees the connection end."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.request()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await peer.gone()
    await until(lambda: client.open_connections == 0)


async def test_closing_ends_everything(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """Idle, asking, reading, waiting, resolving, connecting: all end, each with its reason; then nothing begins."""
    client, server, silent = net.client(max_connections=5), await net.listen(), await net.listen()
    Names(monkeypatch, {"provider.example": []}).answered.clear()
    reading = net.ask(client, server.url)
    await (await server.peer()).answer(b"HTTP/1.1 200 OK\r\n\r\npart")
    idle, asking = net.ask(client, server.url), net.ask(client, server.url)
    peers = [await server.peer(), await server.peer()]
    for peer in peers:
        if await peer.request() and peer is peers[0]:
            peer.send(OK)
    resolving = net.ask(client, "http://provider.example/v1")
    connecting = net.ask(client, silent.url.replace("http", "https"))
    await silent.peer()
    done = {idle, asking} - {(await asyncio.wait([idle, asking], return_when="FIRST_COMPLETED"))[0].pop()}
    open_still = done.pop()
    # The idle one is taken again, so that all five places are in use and one more has to wait.
    again = net.ask(client, server.url)
    await turns()
    waiting = net.ask(client, server.url)
    await turns()
    assert (client.open_connections, waiting.done()) == (5, False)
    response = await reading
    await client.close()
    assert await response.chunk() == b"part"
    closed = "the connection was closed on this side"
    with pytest.raises(Disconnected, match=f"^{closed}$"):
        await response.chunk()
    for task in (open_still, again):
        with pytest.raises(Disconnected, match=f"^{closed}$"):
            await task
    for task in (resolving, waiting, net.ask(client, server.url)):
        with pytest.raises(ConnectFailed, match=r"^this server is shutting down$"):
            await task
    connecting.cancel()
    await until(lambda: client.open_connections == 0)
    for peer in server.peers:
        await peer.gone()
