"""What a client may send that no client should: refused at the door, in words, and the next request is served."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from golive.config.schema import GoliveConfig, ServerConfig
from golive.config.transport import HttpLimitsConfig
from tests.e2e.gateway_kit import Server, raw, serving, sse

CONFIG = GoliveConfig(server=ServerConfig(max_body_bytes=400_000))
RUNS = "/v1/agents/support/runs"
CHAT = "/v1/chat/completions"
DEEP = b"[" * 100_000 + b"]" * 100_000
HALF = b"\\ud83d"
"""Half of an emoji, as a client writes it that cuts a text inside a character."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, CONFIG) as running:
        yield running


def chat(model: bytes, rest: bytes) -> bytes:
    """The body of a chat completion, with `rest` in it."""
    return b'{"model":"%s","messages":[{"role":"user","content":"Hi"}],%s}' % (model, rest)


BROKEN: list[tuple[str, bytes, str]] = [
    (RUNS, DEEP, "nested"),
    (RUNS, b'{"input":%s}' % DEEP, "nested"),
    (RUNS, b'{"input":"Hi","metadata":%s}' % DEEP, "nested"),
    (CHAT, chat(b"sim/sim-text", b'"vendor_field":%s' % DEEP), "nested"),
    (CHAT, chat(b"support", b'"user":%s' % DEEP), "nested"),
    (CHAT, chat(b"sim/sim-text", b'"tools":%s' % DEEP), "nested"),
    (CHAT, b'{"model":"support","messages":[{"role":"user","content":%s}]}' % DEEP, "nested"),
    (RUNS, b'{"input":"%s"}' % HALF, "half a character"),
    (RUNS, b'{"input":"Hi","conversation_id":"%s"}' % HALF, "half a character"),
    (RUNS, b'{"input":"Hi","metadata":{"%s":"x"}}' % HALF, "half a character"),
    (RUNS, b'{"input":"Hi","%s":1}' % HALF, "half a character"),
    (RUNS, b'{"input":[{"role":"user","content":[{"type":"text","text":"%s"}]}]}' % HALF, "half a character"),
    (CHAT, b'{"model":"support","messages":[{"role":"user","content":"%s"}]}' % HALF, "half a character"),
    (CHAT, b'{"model":"sim/sim-text","messages":[{"role":"user","content":"%s"}]}' % HALF, "half a character"),
    (CHAT, b'{"model":"%s","messages":[{"role":"user","content":"Hi"}]}' % HALF, "half a character"),
    (RUNS, b'{"input":"Hi","max_steps":%s}' % (b"9" * 5_000), "thousands of digits"),
    (RUNS, b'{"input":"Hi","max_steps":%s}' % (b"9" * 50), "max_steps"),
    (RUNS, b'{"input":"Hi","deadline_s":1e999}', "deadline_s"),
    (RUNS, b'{"input":"Hi","deadline_s":NaN}', "NaN is no number there (line 1, column 28)"),
    (RUNS, b"\x1f\x8b\x08\x00", "UTF-8"),
    (RUNS, b"null", "object"),
    (CHAT, b"[]", "object"),
    (CHAT, b'{"model":"support","messages":[]}', "messages"),
    (CHAT, b'{"model":null,"messages":[{"role":"user","content":"Hi"}]}', "model"),
]


async def test_bodies_that_break_parsers_are_400(server: Server) -> None:
    """Nested without end, half characters, numbers without end: 400 that says what is wrong; no run is begun."""
    async with asyncio.timeout(30), server.client() as http:
        for path, body, words in BROKEN:
            async with http.post(path, data=body) as response:
                told = await response.text()
                assert response.status == 400, (body[:80], told)
                assert words in told, body[:80]
        async with http.get("/v1/runs") as response:
            assert (await response.json())["data"] == []
    assert [line for line in server.log_lines() if line["level"] == "error"] == []


async def test_an_escaped_emoji_is_no_half_character(server: Server) -> None:
    """A pair of escapes is one character, and is taken as such; a lone backslash-u of any other kind, too."""
    server.script("sim-text", mode="echo")
    server.put_agent("echo", "sim/sim-text")
    async with (
        server.client() as http,
        http.post("/v1/agents/echo/runs", data=rb'{"input":"\ud83d\ude00 \u00fc \\ud800"}') as response,
    ):
        assert (await response.json())["text"] == "😀 ü \\ud800"


UNFIT = [
    ("events?format=json&after=99999999999999999999", "after"),
    ("events?format=json&after=-1", "after"),
    ("events?format=json&limit=0", "limit"),
    ("events?format=xml", "format"),
    ("events?form=json", "form"),
]


async def test_queries_that_do_not_fit_are_400(server: Server) -> None:
    """Numbers out of range, unknown names and values: 400 names the parameter."""
    async with server.client() as http:
        async with http.post(RUNS, json={"input": "Hi"}) as response:
            run = (await response.json())["run"]
        for query, field in UNFIT:
            async with http.get(f"/v1/runs/{run}/{query}") as response:
                assert (response.status, (await response.json())["field"]) == (400, field), query


async def test_a_cursor_that_is_none_is_400(server: Server) -> None:
    """A Last-Event-ID that golive never gave out is refused by name instead of guessed at."""
    async with server.client() as http:
        async with http.post(RUNS, json={"input": "Hi"}) as response:
            run = (await response.json())["run"]
        for cursor in ("1-", "-5", "1--1", "1-1-1", "1 - 2", "x", "1-\u0661", "1-" + "9" * 50):
            async with http.get(f"/v1/runs/{run}/events", headers={"Last-Event-ID": cursor}) as response:
                problem = await response.json()
                assert (response.status, problem["field"]) == (400, "Last-Event-ID"), cursor
                assert "id:" in problem["remedy"]


async def test_a_cursor_from_elsewhere_loses_nothing(server: Server) -> None:
    """A well-formed id that is no place of this stream: the text is there whole, or from that position on."""
    async with server.client() as http:
        async with http.post(RUNS, json={"input": "Hi"}) as response:
            result = await response.json()
        for cursor in ("1-99999999999999999999999", "7-99999", "0-0", "99999999-0", "7-3"):
            headers = {"Last-Event-ID": cursor}
            async with http.get(f"/v1/runs/{result['run']}/events", headers=headers) as response:
                assert response.status == 200
                events = await sse(response)
            assert events[-1][1] == "run.finished", cursor
            text = "".join(data["text"] for _, name, data in events if name == "text.delta")
            assert text == result["text"], cursor


async def test_no_door_opens_on_another_tenants_run(server: Server) -> None:
    """With another tenant's key a run is 404 on every route, word for word as one that never was; the run goes on.

    Both tenants may use the agent: each sees the run that it began, and no other.
    """
    foreign = await server.foreign_key()
    server.script("sim-text", tokens=20, pace_ms=20.0)
    server.put_agent("slow", "sim/sim-text")
    async with (
        server.client() as ours,
        server.client(foreign) as theirs,
        ours.post("/v1/agents/slow/runs", json={"input": "Hi", "stream": True}) as stream,
    ):
        run = stream.headers["x-request-id"]
        await sse(stream, "text.delta")
        for method, path in (
            ("GET", ""), ("GET", "/events"), ("GET", "/events?format=json"), ("POST", "/cancel"),
        ):  # fmt: skip
            answers = []
            for asked in (run, "run_00000000000000000000000000"):
                headers = {"Last-Event-ID": "1-3"}
                async with theirs.request(method, f"/v1/runs/{asked}{path}", headers=headers) as response:
                    answers.append((response.status, (await response.text()).replace(asked, "RUN")))
            assert answers[0] == answers[1], (method, path)
            assert answers[0][0] == 404
        async with theirs.get("/v1/runs") as response:
            assert (await response.json())["data"] == []
        async with theirs.post("/v1/agents/slow/runs", json={"input": "Hi"}) as response:
            other = (await response.json())["run"]
        for http, seen in ((theirs, [other]), (ours, [run])):
            async with http.get("/v1/runs") as response:
                assert [row["run"] for row in (await response.json())["data"]] == seen
        async with ours.get(f"/v1/runs/{other}") as response:
            assert response.status == 404
        end = (await sse(stream))[-1]
    assert end[2]["outcome"] == "completed"


@pytest.fixture
async def hurried(tmp_path: Path) -> AsyncIterator[Server]:
    """With little patience for bodies."""
    (path := tmp_path / "hurried").mkdir()
    config = GoliveConfig(server=ServerConfig(limits=HttpLimitsConfig(body_quiet_s=0.2)))
    async with serving(path, config) as running:
        yield running


async def test_a_body_that_stops_arriving_is_given_up(hurried: Server) -> None:
    """A request that falls silent in mid-body is told so after its time; others are served meanwhile."""
    server = hurried
    head = f"POST {RUNS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.admin}\r\nContent-Length: 100\r\n\r\n"
    slow = asyncio.ensure_future(raw(server.url, head.encode() + b'{"input": "'))
    async with server.client() as http, http.post(RUNS, json={"input": "Hi"}) as response:
        assert response.status == 200
    answer = await slow
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive" in answer


async def test_a_client_that_leaves_in_mid_body_begins_nothing(server: Server) -> None:
    """Half a body and then a closed connection is no run, and no error in the log."""
    head = f"POST {RUNS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.admin}\r\nContent-Length: 100\r\n\r\n"
    host, port = server.url.removeprefix("http://").split(":")
    for _ in range(20):
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(head.encode() + b'{"input": "Hi"}')
        await writer.drain()
        writer.transport.abort()
    async with server.client() as http, http.get("/v1/runs") as response:
        assert (await response.json())["data"] == []
    assert [line for line in server.log_lines() if line["level"] == "error"] == []


async def test_requests_that_are_hardly_http_harm_nobody(server: Server) -> None:
    """Broken chunks, two lengths, raw bytes in a path: refused as 4xx, and the server goes on."""
    post = f"POST {RUNS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.admin}\r\n".encode()
    requests = [
        post + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        post + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        post + b"Content-Length: -4\r\n\r\n",
        post + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        post + b"Content-Length: 99999999999999999999999\r\n\r\n",
        post + b"Content-Length: 9999999999\r\n\r\n",
        post + b"Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n",
        b"GET /v1/\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v1/runs HTTP/1.1\r\nHost: x\r\nX-a: a\x00b\r\n\r\n",
    ]
    for request in requests:
        answer = await raw(server.url, request)
        assert answer.startswith(b"HTTP/1.1 4"), (request, answer)
    async with aiohttp.ClientSession(server.url) as http, http.get("/health/live") as response:
        assert response.status == 200
