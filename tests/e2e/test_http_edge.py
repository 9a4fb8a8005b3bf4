"""The edge of HTTP: what is said with every answer, who may ask from another website, and what is refused unread."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from golive.config.schema import GoliveConfig, ServerConfig
from tests.e2e.gateway_kit import Server, serving

LIMITS = {"request_line_bytes": 1_000, "headers": 20, "header_bytes": 8_000, "body_s": 0.5, "idle_s": 0.3}
CORS = {"origins": ("https://app.example.com",), "headers": ("authorization", "content-type")}
CONSTANT = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
APP = "https://app.example.com"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    config = GoliveConfig(server=ServerConfig.model_validate({"limits": LIMITS, "cors": CORS}))
    async with serving(tmp_path, config) as running:
        yield running


async def said(server: Server, *pieces: bytes, pause_s: float = 0.0) -> bytes:
    """What the server says to these bytes until it closes the connection; that it does is part of what is asserted."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    answer = bytearray()

    async def listen() -> None:
        with suppress(ConnectionError):  # it closed before all was sent
            while data := await reader.read(65_536):
                answer.extend(data)

    async with asyncio.timeout(20):
        listening = asyncio.ensure_future(listen())
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause_s)
        await listening
    writer.close()
    return bytes(answer)


def statuses(answer: bytes) -> list[int]:
    """The status of each answer on the connection."""
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


# ---- headers ---------------------------------------------------------------------------------------------------------


async def test_every_answer_carries_the_secure_headers(server: Server) -> None:
    """Answers, problems, streams, strangers' refusals and what the connection itself says: the same headers on all."""
    body = {"input": "Hi", "stream": True}
    async with server.client() as http, server.client("") as stranger:
        for client, method, path, json, status in (
            (http, "GET", "/v1/agents", None, 200), (http, "GET", "/docs", None, 200), (http, "GET", "/no", None, 404),
            (http, "POST", "/v1/agents/support/runs", body, 200), (http, "POST", "/v1/agents/support/runs", {}, 400),
            (stranger, "GET", "/v1/agents", None, 401), (stranger, "GET", "/health/live", None, 200),
        ):  # fmt: skip
            async with client.request(method, path, json=json) as response:
                assert response.status == status
                for name, value in CONSTANT.items():
                    assert response.headers.getall(name) == [value], (path, name)
                assert response.headers.getall("content-security-policy")[1:] == []
                assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
                assert "server" not in response.headers
                assert "strict-transport-security" not in response.headers  # this is plain HTTP
    for early in (b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET /" + b"a" * 2_000 + b" HTTP/1.1\r\n\r\n"):
        head = (await said(server, early)).partition(b"\r\n\r\n")[0].decode().lower()
        for name, value in CONSTANT.items():
            assert f"\r\n{name}: {value}" in head
        assert "\r\nserver:" not in head


async def test_pages_may_do_what_they_contain_and_nothing_else(server: Server) -> None:
    """/docs: the policy names the hash of its one style, allows no script, no form, no frame, and no other request."""
    async with server.client() as http, http.get("/docs") as response:
        policy = dict(
            part.strip().partition(" ")[::2] for part in response.headers["content-security-policy"].split(";")
        )
        page = await response.text()
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == {
        "default-src": "'none'", "base-uri": "'none'", "frame-ancestors": "'none'", "form-action": "'none'",
        "style-src": f"'sha256-{digest}'",
    }  # fmt: skip
    assert "<script" not in page
    assert " style=" not in page
    assert " on" not in {part.split("=")[0][-3:] for part in page.split("<")[1:]}


# ---- CORS ------------------------------------------------------------------------------------------------------------


async def preflight(
    server: Server, origin: str, method: str = "POST", headers: str = "authorization"
) -> dict[str, str]:
    asked = {"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    async with server.client("") as http, http.options("/v1/agents", headers=asked) as response:
        return {"status": str(response.status), **{name.lower(): value for name, value in response.headers.items()}}


async def test_a_named_origin_may_ask_for_what_is_configured(server: Server) -> None:
    """Its preflight is answered without a key, its requests are marked; nothing beyond the settings is ever allowed."""
    told = await preflight(server, APP, "PUT", "x-anything")
    assert told["status"] == "204"
    assert told["access-control-allow-origin"] == APP
    assert told["access-control-allow-methods"] == "GET, POST, DELETE"
    assert told["access-control-allow-headers"] == "authorization, content-type"
    assert "access-control-allow-credentials" not in told
    assert "origin" in told["vary"]
    async with server.client() as http, http.get("/v1/agents", headers={"Origin": APP}) as response:
        assert (response.status, response.headers["access-control-allow-origin"]) == (200, APP)
    async with server.client("") as http, http.get("/v1/agents", headers={"Origin": APP}) as response:
        assert (response.status, response.headers["access-control-allow-origin"]) == (401, APP)


@pytest.mark.parametrize(
    "origin",
    ["null", "*", "https://app.example.com.evil.net", "https://evil-app.example.com", "http://app.example.com",
     "https://app.example.com:8443", "HTTPS://APP.EXAMPLE.COM", "https://app.example.com/", ""],
)  # fmt: skip
async def test_other_origins_are_told_nothing(server: Server, origin: str) -> None:
    """Whatever resembles the origin: no header of CORS, and the preflight is a stranger's request like any other."""
    told = await preflight(server, origin)
    assert told["status"] == "401"
    assert not [name for name in told if name.startswith("access-control-")]
    assert told["vary"] == "origin"


async def test_cors_is_off_unless_it_is_set_up(tmp_path: Path) -> None:
    """Without [server.cors] no origin is special, and not even Vary is sent."""
    async with serving(tmp_path) as server:
        told = await preflight(server, APP)
        assert told["status"] == "401"
        assert not [name for name in told if name.startswith(("access-control-", "vary"))]


# ---- what could be read in two ways ----------------------------------------------------------------------------------

POST = b"POST /v1/agents/support/runs HTTP/1.1\r\nHost: x\r\n"
GET = b"GET /health/live HTTP/1.1\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"

AMBIGUOUS = {
    "CL+TE": POST + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE+CL": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two CLs": POST + b"Content-Length: 0\r\nContent-Length: 38\r\n\r\n" + SMUGGLED,
    "the same CL twice": POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}" + SMUGGLED,
    "CL as a list": POST + b"Content-Length: 2, 2\r\n\r\n{}" + SMUGGLED,
    "CL with a sign": POST + b"Content-Length: +2\r\n\r\n{}" + SMUGGLED,
    "CL negative": POST + b"Content-Length: -1\r\n\r\n" + SMUGGLED,
    "CL in hex": POST + b"Content-Length: 0x2\r\n\r\n{}" + SMUGGLED,
    "CL beyond 64 bits": POST + b"Content-Length: 18446744073709551618\r\n\r\n{}" + SMUGGLED,
    "CL empty": POST + b"Content-Length: \r\n\r\n" + SMUGGLED,
    "TE twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE identity": POST + b"Transfer-Encoding: identity\r\n\r\n" + SMUGGLED,
    "TE chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE with a tab": POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "TE in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunk size of 65 bits": POST + b"Transfer-Encoding: chunked\r\n\r\n1FFFFFFFFFFFFFFFF\r\n{}\r\n0\r\n\r\n",
    "chunk size with a sign": POST + b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "chunk size in 0x": POST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "chunk size that is none": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "chunk longer than it says": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "chunk that ends with LF": POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n" + SMUGGLED,
    "chunk with a spaced size": POST + b"Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n" + SMUGGLED,
    "obs-fold": GET + b"Host: x\r\nX-A: 1\r\n 2\r\n\r\n" + SMUGGLED,
    "obs-fold of the length": POST + b"Content-Length:\r\n 2\r\n\r\n{}" + SMUGGLED,
    "bare LF": b"GET /health/live HTTP/1.1\nHost: x\n\n" + SMUGGLED,
    "bare LF in one line": GET + b"Host: x\nX-A: 1\r\n\r\n" + SMUGGLED,
    "bare CR": GET + b"Host: x\rX-A: 1\r\n\r\n" + SMUGGLED,
    "a line that begins with a space": GET + b" Host: x\r\n\r\n" + SMUGGLED,
    "NUL in a value": GET + b"Host: x\r\nX-A: a\x00b\r\n\r\n" + SMUGGLED,
    "a name with a space": GET + b"Host: x\r\nX A: 1\r\n\r\n" + SMUGGLED,
    "a header without a colon": GET + b"Host: x\r\nnothing\r\n\r\n" + SMUGGLED,
    "no name": GET + b"Host: x\r\n: 1\r\n\r\n" + SMUGGLED,
    "no Host": GET + b"\r\n" + SMUGGLED,
    "two Hosts": GET + b"Host: x\r\nHost: y\r\n\r\n" + SMUGGLED,
    "two keys": GET + b"Host: x\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n" + SMUGGLED,
    "two x-api-keys": GET + b"Host: x\r\nX-Api-Key: a\r\nx-api-key: b\r\n\r\n" + SMUGGLED,
    "two tenants": GET + b"Host: x\r\nX-Golive-Tenant: a\r\nX-Golive-Tenant: b\r\n\r\n" + SMUGGLED,
    "HTTP/2.0": b"GET /health/live HTTP/2.0\r\nHost: x\r\n\r\n" + SMUGGLED,
    "HTTP/0.9": b"GET /health/live\r\n\r\n" + SMUGGLED,
    "HTTP/1.1 in small letters": b"GET /health/live http/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
    "a path with a space": b"GET /health/li ve HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
    "a path with bytes above ASCII": b"GET /health/\xff HTTP/1.1\r\nHost: x\r\n\r\n" + SMUGGLED,
    "h2c preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}


@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_ends(server: Server, case: str) -> None:
    """400 once, nothing of what follows is answered, and the connection is closed: no proxy and golive can differ."""
    answer = await said(server, AMBIGUOUS[case])
    assert statuses(answer) == [400], answer
    assert b"\r\nconnection: close\r\n" in answer
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("target", [b"/", b"/health", b"*"])
async def test_trace_echoes_nothing(server: Server, target: bytes) -> None:
    """As any method that a path does not have: 401 to a stranger, 405 to others, and no header comes back."""
    head = b"TRACE " + target + b" HTTP/1.1\r\nHost: x\r\nCookie: secret\r\nConnection: close\r\n"
    answer = await said(server, head + b"\r\n")
    assert statuses(answer)[0] in (400, 401)
    assert b"secret" not in answer
    head = b"TRACE /health/live HTTP/1.1\r\nHost: x\r\nCookie: secret\r\nConnection: close\r\n"
    answer = await said(server, head + b"Authorization: Bearer " + server.admin.encode() + b"\r\n\r\n")
    assert statuses(answer) == [405]
    assert b"\r\nallow: GET\r\n" in answer
    assert b"secret" not in answer


@pytest.mark.parametrize("method", [b"CONNECT x:443", b"CONNECT /"])
async def test_connect_is_not_served(server: Server, method: bytes) -> None:
    """501 and the end: golive is no tunnel."""
    answer = await said(server, method + b" HTTP/1.1\r\nHost: x\r\nCookie: secret\r\n\r\n" + SMUGGLED)
    assert statuses(answer) in ([501], [400])
    assert b"secret" not in answer


async def test_the_absolute_form_reaches_the_same_place(server: Server) -> None:
    """RFC 9112 demands it: `GET http://host/path` is `GET /path`; neither host decides anything."""
    head = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    assert statuses(await said(server, b"GET http://x/health/live" + head)) == [200]
    assert statuses(await said(server, b"GET http://elsewhere.example/v1/agents" + head)) == [401]
    assert statuses(await said(server, b"OPTIONS *" + head))[0] in (400, 401)


async def test_an_upgrade_that_nobody_offers_is_ignored(server: Server) -> None:
    """h2c and websockets are answered as the HTTP/1.1 requests that they also are."""
    for upgrade in (b"h2c", b"websocket"):
        answer = await said(server, GET + b"Host: x\r\nConnection: Upgrade, close\r\nUpgrade: " + upgrade + b"\r\n\r\n")
        assert statuses(answer) == [200]


async def test_a_refusal_is_never_taken_for_the_answer_to_the_request_before(server: Server) -> None:
    """Pipelined behind a request that still runs, what is ambiguous ends the connection without a word of its own."""
    key = f"Authorization: Bearer {server.admin}\r\n".encode()
    body = b'{"input": "Hi"}'
    first = POST + key + b"Content-Length: %d\r\n\r\n" % len(body) + body
    answer = await said(server, first + AMBIGUOUS["CL+TE"])
    assert 400 not in statuses(answer)


# ---- sizes and times -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /" + b"a" * 1_001 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (GET + b"Host: x\r\n" + b"".join(b"X-%d: 1\r\n" % number for number in range(20)) + b"\r\n", 431),
        (GET + b"Host: x\r\nX-A: " + b"a" * 9_000, 431),
    ],
)
async def test_heads_beyond_the_limits_are_refused(server: Server, request_bytes: bytes, status: int) -> None:
    """The address, the number of headers, all of it together; each has its answer, and the connection ends."""
    assert statuses(await said(server, request_bytes)) == [status]


async def test_a_body_that_trickles_is_given_up(server: Server) -> None:
    """Never silent for long, never whole: after body_s it is 408."""
    head = POST + f"Authorization: Bearer {server.admin}\r\n".encode() + b"Content-Length: 1000\r\n\r\n"
    assert statuses(await said(server, head, *[b" "] * 30, pause_s=0.05)) == [408]


async def test_a_connection_without_a_request_is_closed(server: Server) -> None:
    """After an answer the connection stays for idle_s and no longer."""
    assert statuses(await said(server, GET + b"Host: x\r\n\r\n")) == [200]


async def test_connections_have_a_maximum_for_each_address_and_in_all(tmp_path: Path) -> None:
    """The third from one address is 429, the third in all 503; one that has gone makes room, and metrics tell."""
    for limits, status in (({"connections_per_ip": 2}, 429), ({"connections": 2}, 503)):
        (path := tmp_path / str(status)).mkdir()
        config = GoliveConfig(server=ServerConfig.model_validate({"limits": limits}))
        async with serving(path, config) as server:
            host, port = server.url.removeprefix("http://").split(":")
            held = [await asyncio.open_connection(host, int(port)) for _ in range(2)]
            for reader, writer in held:
                writer.write(GET + b"Host: x\r\n\r\n")
                await reader.readuntil(b"}")
            answer = await said(server, GET + b"Host: x\r\n\r\n")
            assert statuses(answer) == [status]
            assert b"\r\nretry-after: 1\r\n" in answer
            held[0][1].close()
            await held[0][1].wait_closed()
            async with asyncio.timeout(20):
                while statuses(await said(server, GET + b"Host: x\r\nConnection: close\r\n\r\n")) != [200]:
                    await asyncio.sleep(0.01)
            held[1][1].close()


async def test_slow_heads_keep_nobody_from_being_served(tmp_path: Path) -> None:
    """A hundred connections that trickle their heads, and others are answered; the slow ones are closed in time."""
    config = GoliveConfig(server=ServerConfig.model_validate({"limits": {"header_s": 1.0}}))
    async with serving(tmp_path, config) as server:
        host, port = server.url.removeprefix("http://").split(":")
        slow = [await asyncio.open_connection(host, int(port)) for _ in range(100)]
        began = asyncio.get_running_loop().time()
        for piece in (b"G", b"E", b"T", b" "):
            for _, writer in slow:
                writer.write(piece)
            async with aiohttp.ClientSession(server.url) as http, http.get("/health/live") as response:
                assert response.status == 200
        async with asyncio.timeout(20):
            for reader, _ in slow:
                assert await reader.read() == b""
        assert asyncio.get_running_loop().time() - began < 10
        for _, writer in slow:
            writer.close()
