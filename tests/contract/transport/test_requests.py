"""The contract of a request to a provider: its address, its headers, long bodies, and servers that do not read them."""

import asyncio
import hashlib
import socket
from typing import Any

import aiohappyeyeballs
import pytest

from golive.models.http_connection import PIECE_BYTES
from golive.models.transport import ConnectFailed, Disconnected
from golive.models.transport_http import HttpTransport
from tests.contract.transport.kit import LIMIT_S, OK, Names, Net, turns, until

LONG_BODY = bytes(range(251)) * 83_000
"""Some 20 MB: more than the system's buffers take from us."""
REFUSED = b"HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\n\r\ntoo long"


async def test_what_goes_over_the_wire(net: Net) -> None:
    """A request to the letter, with a body and without."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url + "/x%20y?a=b&c=%2F#part", b"{}", {"Accept": "text/plain", "x-Odd": "é"})
    peer = await server.peer()
    expected = (
        f"POST /v1/x%20y?a=b&c=%2F HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUser-Agent: golive\r\n"
        "Accept-Encoding: identity\r\nAccept: text/plain\r\nx-Odd: é\r\nContent-Length: 2\r\n\r\n"
    )
    assert await peer.request() == (expected.encode(), b"{}")
    peer.send(OK)
    assert (await asking).status == 200
    asking = asyncio.get_running_loop().create_task(
        client.send("GET", f"http://127.0.0.1:{server.port}", {}, None, connect_s=LIMIT_S)
    )
    expected = (
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUser-Agent: golive\r\n"
        "Accept-Encoding: identity\r\nContent-Length: 0\r\n\r\n"
    )
    assert await peer.request() == (expected.encode(), b"")
    peer.send(OK)
    assert await (await asking).read(2) == b"ok"


async def test_each_request_has_its_own_headers(net: Net) -> None:
    """Headers that were encoded for one request are not sent with another's."""
    client, server = net.client(), await net.listen()
    first, second = {"X-Key": "a"}, {"X-Key": "b"}
    seen = []
    for headers in (first, first, second, first, {"X-Key": "c"}, {"X-Key": "d"}):
        asking = net.ask(client, server.url, headers=headers)
        peer = server.peers[0] if server.peers else await server.peer()
        head, _ = await peer.request()
        seen.append(head.partition(b"X-Key: ")[2][:1])
        peer.send(OK)
        await (await asking).read(2)
    assert seen == [b"a", b"a", b"b", b"a", b"c", b"d"]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("X-Key", "a\r\nX-Evil: 1", "the header X-Key cannot be sent: it holds a line break or what is no text"),
        ("X-Key", "a\nb", "the header X-Key cannot be sent: it holds a line break or what is no text"),
        ("X-Key", "a\r", "the header X-Key cannot be sent: it holds a line break or what is no text"),
        ("X-Key", "a\0", "the header X-Key cannot be sent: it holds a line break or what is no text"),
        ("X-Key", "a\udcff", "the header X-Key cannot be sent: it holds a line break or what is no text"),
        ("X-A: 1\r\nX-B", "1", r"the header 'X-A: 1\r\nX-B' cannot be sent: its name holds what no name may"),
        ("X-A\n", "1", r"the header 'X-A\n' cannot be sent: its name holds what no name may"),
        ("X-A:", "1", "the header 'X-A:' cannot be sent: its name holds what no name may"),
        ("", "1", "the header '' cannot be sent: its name holds what no name may"),
    ],
)
async def test_a_header_cannot_hold_another(net: Net, name: str, value: str, words: str) -> None:
    """Refused, by name and without its value, before anything is connected; also when it comes again."""
    client, server = net.client(), await net.listen()
    headers = {"Accept": "x", name: value}
    for _ in range(2):
        with pytest.raises(ConnectFailed) as told:
            await net.ask(client, server.url, headers=headers)
        assert (str(told.value), told.value.sent) == (words, False)
    assert server.accepted == 0


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://host/", "'ftp://host/' is no address that begins with http:// or https://"),
        ("host/v1", "'host/v1' is no address that begins with http:// or https://"),
        ("http:///v1", "'http:///v1' is no address that begins with http:// or https://"),
        ("http://host:99999/", "'http://host:99999/' is no address: Port out of range 0-65535"),
        ("http://[::1/", "'http://[::1/' is no address: Invalid IPv6 URL"),
        ("http://a..b/", "'http://a..b/' is no address: a label of its host is empty or too long"),
        ("http://é..b/", "'http://é..b/' is no address: a label of its host is empty or too long"),
        (f"http://{'a' * 64}/", f"'http://{'a' * 64}/' is no address: a label of its host is empty or too long"),
        ("http://h/a b", "'http://h/a b' is no address: it holds a character that must be percent-encoded"),
        ("http://h/é", "'http://h/é' is no address: it holds a character that must be percent-encoded"),
        ("http://h/?é", "'http://h/?é' is no address: it holds a character that must be percent-encoded"),
        ("http://h h/", "'http://h h/' is no address: it holds a character that must be percent-encoded"),
        ("http://h/\r\nX:1", r"'http://h/\r\nX:1' is no address: it holds a character that must be percent-encoded"),
        ("http://h\0/", r"'http://h\x00/' is no address: it holds a character that must be percent-encoded"),
    ],
)
async def test_what_is_no_address_is_refused(net: Net, url: str, words: str) -> None:
    """ConnectFailed says what is wrong with it."""
    with pytest.raises(ConnectFailed) as told:
        await net.ask(net.client(), url)
    assert str(told.value) == words


@pytest.mark.parametrize("rest", ["127.0.0.1:{port}/v1", "127.0.0.1:nine/", "[::1/", "/"])
@pytest.mark.parametrize("user", ["key@", "me:secret@", ":secret@", "@", "a@b@"])
async def test_credentials_in_an_address_are_refused(net: Net, user: str, rest: str) -> None:
    """Not sent and not shown, whatever else is wrong; the message names the setting they belong in."""
    client, server = net.client(), await net.listen()
    with pytest.raises(ConnectFailed) as told:
        await net.ask(client, f"http://{user}{rest.format(port=server.port)}")
    words = "a user or password in an address is not sent; the setting for a credential is api_key"
    assert (str(told.value), told.value.sent, server.accepted) == (words, False, 0)


async def test_an_at_sign_in_a_path_is_no_credential(net: Net) -> None:
    """As in addresses of models by version."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url + "/model@001?to=a@b")
    head, _ = await (await server.peer()).request()
    assert head.startswith(b"POST /v1/model@001?to=a@b HTTP/1.1\r\n")
    asking.cancel()


@pytest.mark.parametrize(
    ("url", "host", "asked"),
    [
        ("http://Provider.Example/v1", "provider.example", ("provider.example", 80)),
        ("http://provider.example:80/v1", "provider.example", ("provider.example", 80)),
        ("http://provider.example:443/v1", "provider.example:443", ("provider.example", 443)),
        ("http://provider.example:0/v1", "provider.example:0", ("provider.example", 0)),
        ("http://provider.example.:8080", "provider.example.:8080", ("provider.example.", 8080)),
        ("http://bücher.example/v1", "xn--bcher-kva.example", ("xn--bcher-kva.example", 80)),
        ("http://BÜCHER.example:8080/v1", "xn--bcher-kva.example:8080", ("xn--bcher-kva.example", 8080)),
        ("http://[2001:DB8::1]/v1", "[2001:db8::1]", ("2001:db8::1", 80)),
        ("http://[2001:db8::1]:8080/v1", "[2001:db8::1]:8080", ("2001:db8::1", 8080)),
        ("http://[fe80::1%eth0]:8080/v1", "[fe80::1]:8080", ("fe80::1%eth0", 8080)),
    ],
)
async def test_the_host_header(
    net: Net, monkeypatch: pytest.MonkeyPatch, url: str, host: str, asked: tuple[str, int]
) -> None:
    """Brackets, a port where it is not the usual one, names in ASCII, no zone; the name asked for is the same."""
    client, server = net.client(), await net.listen()
    names = Names(monkeypatch, {asked[0]: [("127.0.0.1", server.port)]})
    asking = net.ask(client, url)
    head, _ = await (await server.peer()).request()
    assert head.split(b"\r\n")[1] == b"Host: " + host.encode()
    assert names.asked == [asked]
    asking.cancel()


async def test_ipv6(net: Net) -> None:
    """Over the loopback of IPv6, brackets in the Host header, and the connection is used again."""
    client, server = net.client(), await net.listen("::1")
    for _ in range(2):
        asking = net.ask(client, server.url)
        peer = server.peers[0] if server.peers else await server.peer()
        head, _ = await peer.request()
        assert head.split(b"\r\n")[1] == f"Host: [::1]:{server.port}".encode()
        peer.send(OK)
        assert await (await asking).read(2) == b"ok"
    assert server.accepted == 1


# ---- long bodies


async def test_a_long_body_arrives_whole(net: Net) -> None:
    """Twenty megabytes, to the byte; the connection carries the next request."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url, LONG_BODY)
    peer = await server.peer()
    assert hashlib.sha256(await peer.answer()).digest() == hashlib.sha256(LONG_BODY).digest()
    assert await (await asking).read(2) == b"ok"
    again = net.ask(client, server.url)
    assert await peer.answer() == b"hi"
    assert (await again).status == 200


@pytest.mark.parametrize("end", ["stays", "half-closes", "chunked", "until-the-end"])
async def test_a_refusal_comes_through_while_the_body_is_written(net: Net, end: str) -> None:
    """A server answers 413 and reads nothing: its answer is there at once, and the connection is not used again."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url, LONG_BODY)
    peer = await server.peer()
    await peer.head()
    await turns(200)
    assert not asking.done()
    refusal = REFUSED
    if end == "chunked":
        refusal = b"HTTP/1.1 413 Too Large\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ntoo long\r\n0\r\n\r\n"
    elif end == "until-the-end":
        refusal = b"HTTP/1.1 413 Too Large\r\n\r\ntoo long"
    peer.send(refusal)
    if end in {"half-closes", "until-the-end"}:
        peer.writer.write_eof()
    async with asyncio.timeout(LIMIT_S):
        response = await asking
        assert (response.status, await response.read(100)) == (413, b"too long")
    await until(lambda: client.open_connections == 0)
    again = net.ask(client, server.url)
    await (await server.peer()).answer()
    assert (await again).status == 200
    assert server.accepted == 2


async def test_a_refusal_whose_body_is_on_its_way(net: Net) -> None:
    """The head of a refusal is handed on before its body has come; then the body is read."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url, LONG_BODY)
    peer = await server.peer()
    await peer.head()
    peer.send(REFUSED[:-4])
    async with asyncio.timeout(LIMIT_S):
        response = await asking
        assert (response.status, await response.chunk()) == (413, b"too ")
        peer.send(REFUSED[-4:])
        assert await response.read(100) == b"long"
    await until(lambda: client.open_connections == 0)


async def test_an_interim_answer_does_not_stop_a_body(net: Net) -> None:
    """`100 Continue` in the middle of a request: the rest follows."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url, LONG_BODY)
    peer = await server.peer()
    await until(lambda: bool(peer.reader._buffer))  # type: ignore[attr-defined]
    peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert await peer.answer() == LONG_BODY
    assert (await asking).status == 200


@pytest.mark.parametrize("end", ["close", "half-close", "reset", "garbage"])
async def test_a_server_that_leaves_while_the_body_is_written(net: Net, end: str) -> None:
    """No answer and the connection gone, or no HTTP: Disconnected, and not a wait for room that never comes."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url, LONG_BODY)
    peer = await server.peer()
    await peer.head()
    await turns(200)
    if end == "garbage":
        peer.send(b"no\r\n")
    else:
        {"close": peer.close, "half-close": peer.writer.write_eof, "reset": peer.reset}[end]()
    with pytest.raises(Disconnected) as told:
        async with asyncio.timeout(LIMIT_S):
            await asking
    assert told.value.sent is True
    await until(lambda: client.open_connections == 0)


async def test_cancelled_while_the_body_is_written(net: Net) -> None:
    """The connection is closed at once, though the server reads nothing."""
    client, server = net.client(), await net.listen()
    asking = net.ask(client, server.url, LONG_BODY)
    peer = await server.peer()
    await peer.head()
    await turns(200)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await until(lambda: client.open_connections == 0)
    await peer.gone()


async def test_an_answer_before_the_request_has_left_ends_the_connection(
    net: Net, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a short request that the system has not taken whole: the rest would come before the next one."""
    real = aiohappyeyeballs.start_connection

    async def narrow(*args: Any, **options: Any) -> socket.socket:
        raw = await real(*args, **options)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        return raw

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", narrow)
    client, server = net.client(), await net.listen()
    for listening in net.servers[0].sockets:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    refused = net.ask(client, server.url, LONG_BODY[:PIECE_BYTES])
    peer = await server.peer()
    await peer.head()
    peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
    peer.send(REFUSED)
    assert await (await refused).read(100) == b"too long"
    await until(lambda: client.open_connections == 0)


def test_a_transport_needs_no_event_loop_to_be_made() -> None:
    """It is made before the server runs."""
    assert HttpTransport().open_connections == 0
