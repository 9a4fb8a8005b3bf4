"""The contract of connecting to a provider: addresses, refusals in plain words, TLS and whom it trusts."""

import asyncio
import datetime
import errno
import ssl

import pytest
import trustme

from golive.models import transport_http
from golive.models.transport import ConnectFailed, ConnectTimedOut, Disconnected, ProtocolBroken, in_words
from tests.contract.transport.kit import LIMIT_S, OK, Names, Net, turns, until


async def test_a_refused_connection(net: Net) -> None:
    """In the system's words, for one address and for several; nothing was sent."""
    client = net.client()
    for host in ("127.0.0.1", "[::1]", "localhost"):
        with pytest.raises(ConnectFailed) as told:
            await net.ask(client, f"http://{host}:9/v1")
        assert (str(told.value), told.value.sent) == ("connection refused", False)
        assert not isinstance(told.value, ConnectTimedOut)
    assert client.open_connections == 0


async def test_an_unknown_host(net: Net) -> None:
    """The resolver's own words, and no name of a library."""
    with pytest.raises(ConnectFailed) as told:
        await net.ask(net.client(), "http://nowhere.invalid/v1")
    assert str(told.value) in {"name or service not known", "temporary failure in name resolution"}


async def test_a_host_that_cannot_be_reached(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that no connection can lead to: told at once, in the system's words."""
    Names(monkeypatch, {"provider.example": [("255.255.255.255", 80)]})
    with pytest.raises(ConnectFailed) as told:
        await net.ask(net.client(), "http://provider.example/v1")
    assert str(told.value) in {"network is unreachable", "permission denied", "no route to host"}


async def test_the_next_address_is_tried(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with two addresses, of which the first refuses, is reached; asked again soon, the name is not resolved."""
    client, server = net.client(), await net.listen()
    names = Names(monkeypatch, {"provider.example": [("127.0.0.1", 9), ("127.0.0.1", server.port)]})
    for _ in range(2):
        asking = net.ask(client, "http://provider.example/v1")
        await (await server.peer()).answer(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert (await asking).status == 200
    assert names.asked == [("provider.example", 80)]


async def test_a_name_is_resolved_again_after_a_while(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that moved is found: what a name stands for is remembered for a short time only."""
    monkeypatch.setattr(transport_http, "NAMES_S", 0.0)
    client, server, moved = net.client(), await net.listen(), await net.listen()
    known = {"provider.example": [("127.0.0.1", server.port)]}
    names = Names(monkeypatch, known)
    for listener in (server, moved):
        known["provider.example"] = [("127.0.0.1", listener.port)]
        asking = net.ask(client, "http://provider.example/v1")
        await (await listener.peer()).answer(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert (await asking).status == 200
    assert names.asked == [("provider.example", 80)] * 2


async def test_those_who_connect_at_once_resolve_a_name_once(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of them leaves, the second's time is up: the third has its answer all the same."""
    client, server = net.client(), await net.listen()
    names = Names(monkeypatch, {"provider.example": [("127.0.0.1", server.port)]})
    names.answered.clear()
    leaves, late, stays = (
        net.ask(client, "http://provider.example/v1", connect_s=connect_s) for connect_s in (LIMIT_S, 0.02, LIMIT_S)
    )
    await turns()
    leaves.cancel()
    with pytest.raises(ConnectTimedOut):
        await late
    assert client.open_connections == 1
    names.answered.set()
    await (await server.peer()).answer()
    assert await (await stays).read(2) == b"ok"
    assert (names.asked, server.accepted, leaves.cancelled()) == ([("provider.example", 80)], 1, True)


@pytest.mark.parametrize("leave", ["cancel", "limit"])
async def test_leaving_while_it_connects(net: Net, leave: str) -> None:
    """A TLS server that says nothing: the socket is closed with the attempt, by whomever it is ended."""
    client, server = net.client(), await net.listen()
    url = server.url.replace("http", "https")
    asking = net.ask(client, url, connect_s=0.5 if leave == "limit" else LIMIT_S)
    peer = await server.peer()
    assert client.open_connections == 1
    if leave == "cancel":
        asking.cancel()
    with pytest.raises(ConnectTimedOut if leave == "limit" else asyncio.CancelledError):
        await asking
    assert client.open_connections == 0
    await peer.gone()


# ---- TLS


class Authority:
    """Certificates of one authority, for servers, and a client that trusts it."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.names: list[str | None] = []
        """What servers were asked for (SNI)."""

    def server(self, name: str, not_after: datetime.datetime | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(name, not_after=not_after).configure_cert(context)
        context.set_alpn_protocols(["h2", "http/1.1"])
        context.sni_callback = lambda connection, name, before: self.names.append(name)
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


async def test_tls(net: Net, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certificate of a trusted authority: the server is asked for by name, and the connection is kept."""
    authority.names.clear()
    client = net.client(tls=authority.client())
    server = await net.listen(tls=authority.server("provider.example"))
    Names(monkeypatch, {"provider.example": [("127.0.0.1", server.port)]})
    for _ in range(2):
        asking = net.ask(client, "https://provider.example/v1")
        peer = server.peers[0] if server.peers else await server.peer()
        head, body = await peer.request()
        assert (head.split(b"\r\n")[1], body) == (b"Host: provider.example", b"hi")
        peer.send(OK)
        assert await (await asking).read(2) == b"ok"
    assert (server.accepted, authority.names) == (1, ["provider.example"])


async def test_a_full_stop_behind_a_name_is_not_part_of_it(
    net: Net, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in addresses inside a cluster: resolved as written, and the certificate need not have it."""
    authority.names.clear()
    client = net.client(tls=authority.client())
    server = await net.listen(tls=authority.server("provider.example"))
    names = Names(monkeypatch, {"provider.example.": [("127.0.0.1", server.port)]})
    asking = net.ask(client, "https://provider.example./v1")
    await (await server.peer()).answer()
    assert (await asking).status == 200
    assert (names.asked, authority.names) == ([("provider.example.", 443)], ["provider.example"])


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_tls_to_an_address(net: Net, authority: Authority, host: str) -> None:
    """A certificate may name an address; no name is asked for then."""
    authority.names.clear()
    client, server = net.client(tls=authority.client()), await net.listen(host, authority.server(host))
    asking = net.ask(client, server.url)
    await (await server.peer()).answer()
    assert await (await asking).read(2) == b"ok"
    assert authority.names == [None]


async def test_by_default_http_1_1_is_asked_for(net: Net, authority: Authority) -> None:
    """A server of HTTP/2 that also speaks 1.1 is told which (ALPN)."""
    client = net.client()
    client._context().load_verify_locations(cadata=authority.ca.cert_pem.bytes().decode())
    server = await net.listen(tls=authority.server("127.0.0.1"))
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer()
    assert (await asking).status == 200
    assert peer.writer.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"


@pytest.mark.parametrize(
    ("trusted", "named", "age", "words"),
    [
        (False, "127.0.0.1", 0, "unable to get local issuer certificate"),
        (True, "localhost", 0, "IP address mismatch, certificate is not valid for '127.0.0.1'."),
        (True, "127.0.0.1", 1, "certificate has expired"),
    ],
    ids=["unknown-authority", "another-host", "expired"],
)  # fmt: skip
async def test_a_certificate_that_is_refused(
    net: Net, authority: Authority, trusted: bool, named: str, age: int, words: str
) -> None:
    """ConnectFailed says why; nothing was sent, and the socket is closed."""
    client = net.client(tls=authority.client()) if trusted else net.client()
    ended = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=age) if age else None
    server = await net.listen(tls=authority.server(named, not_after=ended))
    for _ in range(2):
        with pytest.raises(ConnectFailed) as told:
            await net.ask(client, server.url)
        assert (str(told.value), told.value.sent, client.open_connections) == (words, False, 0)
    net.complaints.clear()  # the server's


async def test_a_certificate_for_another_name(net: Net, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message has the name that was asked for."""
    client, server = net.client(tls=authority.client()), await net.listen(tls=authority.server("other.example"))
    Names(monkeypatch, {"provider.example": [("127.0.0.1", server.port)]})
    with pytest.raises(ConnectFailed) as told:
        await net.ask(client, "https://provider.example/v1")
    assert str(told.value) == "Hostname mismatch, certificate is not valid for 'provider.example'."
    net.complaints.clear()  # the server's


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("answers", {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}),
        ("closes", {"connection reset by peer"}),
        ("resets", {"connection reset by peer"}),
    ],
)
async def test_tls_to_a_server_without_it(net: Net, end: str, words: set[str]) -> None:
    """A plain server answers in plain text or hangs up: no connection, and nothing was sent."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url.replace("http", "https"))
    peer = await server.peer()
    assert await peer.reader.readexactly(2) == b"\x16\x03"
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n" if end == "answers" else b"")
    if end != "answers":
        (peer.close if end == "closes" else peer.reset)()
    with pytest.raises(ConnectFailed) as told:
        await asking
    assert str(told.value) in words
    assert (told.value.sent, client.open_connections) == (False, 0)


async def test_leaving_within_a_body_over_tls(net: Net, authority: Authority) -> None:
    """The connection ends at once, without the other side's consent."""
    client, server = net.client(tls=authority.client()), await net.listen(tls=authority.server("127.0.0.1"))
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    response = await asking
    assert await response.chunk() == b"hello"
    response.close()
    await until(lambda: client.open_connections == 0)
    await peer.gone()


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_body_that_breaks_off_over_tls(net: Net, authority: Authority, end: str) -> None:
    """What had come is given out, and then it is told."""
    client, server = net.client(tls=authority.client()), await net.listen(tls=authority.server("127.0.0.1"))
    asking = net.ask(client, server.url)
    peer = await server.peer()
    await peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
    response = await asking
    (peer.close if end == "close" else peer.reset)()
    await until(lambda: client.open_connections == 0)
    assert await response.chunk() == b"hello"
    with pytest.raises(Disconnected) as told:
        await response.chunk()
    assert str(told.value) in {"the connection ended before the body did", "connection reset by peer"}


async def test_a_long_body_both_ways_over_tls(net: Net, authority: Authority) -> None:
    """Ten megabytes there, slowly read ones back, and the connection is used again."""
    client, server = net.client(tls=authority.client()), await net.listen(tls=authority.server("127.0.0.1"))
    long = bytes(range(250)) * 40_000
    asking = net.ask(client, server.url, long)
    peer = await server.peer()
    assert await peer.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(long) + long) == long
    response = await asking
    await turns(300)
    first = await response.chunk()
    assert len(first) <= 2_000_000
    assert first + await response.read(len(long)) == long
    again = net.ask(client, server.url)
    await peer.answer()
    assert (await again).status == 200


async def test_an_early_refusal_over_tls(net: Net, authority: Authority) -> None:
    """A server that answers 413 and reads nothing more."""
    client, server = net.client(tls=authority.client()), await net.listen(tls=authority.server("127.0.0.1"))
    asking = net.ask(client, server.url, bytes(20_000_000))
    peer = await server.peer()
    await peer.head()
    await turns(200)
    peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo long")
    async with asyncio.timeout(LIMIT_S):
        response = await asking
        assert (response.status, await response.read(100)) == (413, b"too long")
    await until(lambda: client.open_connections == 0)


def test_errors_in_words() -> None:
    """The system's words where it has any, whatever the event loop made of them."""
    said = [
        ConnectionResetError(), ConnectionResetError(errno.ECONNRESET, "x"), BrokenPipeError(errno.EPIPE, "x"),
        OSError("no number"), ConnectionAbortedError("SSL handshake is taking longer than 60 seconds"), RuntimeError(),
    ]  # fmt: skip
    assert [in_words(error) for error in said] == [
        "connection reset by peer", "connection reset by peer", "broken pipe", "no number",
        "SSL handshake is taking longer than 60 seconds", "RuntimeError",
    ]  # fmt: skip


async def test_a_server_that_speaks_first_is_none_of_http(net: Net) -> None:
    """A mail server's greeting, whether it comes before or behind our question, breaks the protocol, not the line."""

    async def greets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()
        writer.close()

    async with await asyncio.start_server(greets, "127.0.0.1", 0) as server:
        client = net.client()
        for _ in range(20):
            with pytest.raises(ProtocolBroken) as told:
                await net.ask(client, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
            assert str(told.value) in {"the server spoke before it was asked", "Expected HTTP/, RTSP/ or ICE/"}
        await until(lambda: client.open_connections == 0)
