"""Many at once, and readers that do not read: bounded, all told, none lost, nobody stalls the others."""

import asyncio
import resource
import socket
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from golive.core.open_files import requests_that_fit
from golive.core.tasks import Tasks
from tests.e2e.gateway_kit import sse
from tests.e2e.process_kit import RUNS, Project, project


def peak_mb(served: Project) -> float:
    """The most memory that the server's process has had."""
    assert served.process is not None
    status = Path(f"/proc/{served.process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def many(served: Project) -> aiohttp.ClientSession:
    """A client without a limit of its own."""
    headers = {"Authorization": f"Bearer {served.key}"}
    return aiohttp.ClientSession(
        served.url, headers=headers, connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=100)
    )


async def all_runs(http: aiohttp.ClientSession) -> list[dict[str, Any]]:
    """Every run, page by page."""
    rows: list[dict[str, Any]] = []
    params = {"limit": "200"}
    while True:
        async with http.get("/v1/runs", params=params) as response:
            page = await response.json()
        rows += page["data"]
        if page["next"] is None:
            return rows
        params["before"] = page["next"]


async def at_once(served: Project, number: int) -> None:
    """Streams so many runs at once; each must end whole, and all stand in the store with their price.

    Fewer where the system does not let this process, client and provider in one, have the sockets.
    """
    number = min(number, requests_that_fit())
    served.script("sim-talk", tokens=40, pace_ms=10)
    await served.serve()
    ended: list[tuple[str, str, bool]] = []
    async with many(served) as http:
        async with http.post(RUNS, json={"input": "Hi"}) as first:
            cost = (await first.json())["cost_microusd"]
        before = peak_mb(served)

        async def one() -> None:
            async with http.post(RUNS, json={"input": "Hi", "stream": True}) as response:
                assert response.status == 200, await response.text()
                events = await sse(response)
            text = "".join(data["text"] for _, name, data in events if name == "text.delta")
            ended.append((events[-1][1], events[-1][2]["outcome"], events[-1][2]["text"] == text != ""))

        async with Tasks("clients") as clients:
            for _ in range(number):
                clients.start(one(), "client")
        assert ended == [("run.finished", "completed", True)] * number
        rows = await all_runs(http)
        assert len({row["run"] for row in rows}) == number + 1
        assert {(row["outcome"], row["cost_microusd"]) for row in rows} == {("completed", cost)}
        async with http.get("/health") as response:
            assert (await response.json())["open_runs"] == 0
    assert peak_mb(served) - before < 0.15 * number, "MB: a stream's buffers and a run's state, no more"
    assert {line["event"] for line in served.log() if line["level"] != "info"} <= {"server.runs_as_root"}
    assert await served.stop() == 0


async def test_a_thousand_runs_at_once(tmp_path: Path) -> None:
    """All are accepted, streamed whole and finished; the journal has each of them, priced; memory stays bounded."""
    async with project(tmp_path) as served:
        await at_once(served, 1_000)


@pytest.mark.long
async def test_four_thousand_runs_at_once(tmp_path: Path) -> None:
    """The same at the number of open runs that a server carries by default."""
    async with project(tmp_path) as served:
        await at_once(served, 4_000)


async def test_more_runs_than_a_server_carries_are_refused(tmp_path: Path) -> None:
    """Beyond max_open_runs each is 503 with Retry-After and the setting's name; the accepted ones finish."""
    async with project(tmp_path) as served:
        served.environ["GOLIVE_SERVER__MAX_OPEN_RUNS"] = "20"
        served.script("sim-talk", tokens=20, pace_ms=25)
        await served.serve()
        answers: list[int] = []
        async with many(served) as http:

            async def one() -> None:
                async with http.post(RUNS, json={"input": "Hi"}) as response:
                    told = await response.json()
                    answers.append(response.status)
                    if response.status == 200:
                        assert told["outcome"] == "completed"
                    else:
                        assert (told["code"], response.headers["retry-after"]) == ("server.overloaded", "1")
                        assert "server.max_open_runs" in told["remedy"]

            async with Tasks("clients") as clients:
                for _ in range(100):
                    clients.start(one(), "client")
            assert (answers.count(200), answers.count(503)) == (20, 80)
            assert len(await all_runs(http)) == 20
            async with http.post(RUNS, json={"input": "Hi"}) as response:
                assert response.status == 200


async def test_the_soft_limit_of_open_files_is_raised(tmp_path: Path) -> None:
    """A login shell's limit (here 64) is not the server's: it takes what the system lets it have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with project(tmp_path) as served:
        served.script("sim-talk", tokens=20, pace_ms=25)
        await served.serve(preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)))
        assert served.process is not None
        assert resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
        async with many(served) as http:

            async def one() -> None:
                async with http.post(RUNS, json={"input": "Hi"}) as response:
                    assert (await response.json())["outcome"] == "completed"

            async with Tasks("clients") as clients:
                for _ in range(min(100, requests_that_fit())):
                    clients.start(one(), "client")


async def test_more_requests_than_the_system_has_files_for_are_refused(tmp_path: Path) -> None:
    """Where the hard limit is small, what does not fit is told so at once; it is not blamed on the provider."""
    async with project(tmp_path) as served:
        served.script("sim-talk", tokens=20, pace_ms=25)
        await served.serve(preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)))
        answers: list[int] = []
        async with many(served) as http:

            async def one() -> None:
                async with http.post(RUNS, json={"input": "Hi"}) as response:
                    told = await response.json()
                    answers.append(response.status)
                    if response.status != 200:
                        assert (told["code"], response.headers["retry-after"]) == ("server.overloaded", "1")
                        assert "ulimit" in told["remedy"]

            async with Tasks("clients") as clients:
                for _ in range(100):
                    clients.start(one(), "client")
        assert (answers.count(200), answers.count(503)) == (64, 36)
        assert [line["event"] for line in served.log() if line["level"] == "error"] == []


async def test_runs_of_one_conversation_at_once(tmp_path: Path) -> None:
    """They go one after the other, each shown what the ones before it said; more than the queue holds are 409.

    Which goes first of those that came at once, and in which order they are shown later, is nobody's promise.
    """
    async with project(tmp_path) as served:
        served.environ["GOLIVE_SERVER__CONVERSATION_QUEUE"] = "4"
        served.agent("echo", "sim-echo")
        served.script("sim-echo", mode="echo", first_token_ms=100)
        await served.serve()
        results: list[dict[str, Any]] = []
        refused: list[dict[str, Any]] = []
        async with many(served) as http:

            async def one(number: int) -> None:
                body = {"input": f"number {number}", "conversation_id": "c"}
                async with http.post("/v1/agents/echo/runs", json=body) as response:
                    told = await response.json()
                    if response.status == 200:
                        results.append(told)
                    else:
                        assert (response.status, told["code"]) == (409, "conversation.busy")
                        refused.append(told)

            async with Tasks("clients") as clients:
                for number in range(8):
                    clients.start(one(number), "client")
        assert (len(results), len(refused)) == (5, 3)
        assert "server.conversation_queue" in refused[0]["remedy"]
        results.sort(key=lambda result: float(result["started_at"]))
        for earlier, later in pairwise(results):
            assert later["started_at"] >= earlier["finished_at"]
        shown = [
            [message["content"] for message in body["messages"] if message["role"] != "system"]
            for body in served.sent()
        ]
        said: list[tuple[str, str]] = []
        for texts, result in zip(shown, results, strict=True):
            assert sorted(zip(texts[:-1:2], texts[1::2], strict=True)) == sorted(said)
            said.append((texts[-1], result["text"]))


async def test_a_reader_that_does_not_read(tmp_path: Path) -> None:
    """Megabytes wait for a client that takes none: memory stays bounded, the run ends, others are served meanwhile;
    when it reads at last, all of it is there."""
    async with project(tmp_path) as served:
        served.agent("long", "sim-long", more="max_output_tokens = 1000000\n")
        served.script("sim-long", tokens=200_000, burst=100, pace_ms=1)
        await served.serve()
        async with served.client() as http:
            async with http.post(RUNS, json={"input": "Hi"}) as response:
                assert response.status == 200
            before = peak_mb(served)
            lazy = await unread(served, "/v1/agents/long/runs", 3)
            async with asyncio.timeout(60):
                while True:
                    async with http.post(RUNS, json={"input": "Hi"}) as response:
                        assert (await response.json())["outcome"] == "completed"
                    async with http.get("/v1/runs?agent=long") as response:
                        rows = (await response.json())["data"]
                    if rows and all(row["state"] == "finished" for row in rows):
                        break
                    await asyncio.sleep(0.1)
            assert {row["outcome"] for row in rows} == {"completed"}
            assert peak_mb(served) - before < 60, "MB for three answers of some 1.5 MB"
            lazy[0].close()
            text = await read_at_last(lazy[1])
            async with http.get(f"/v1/runs/{rows[0]['run']}") as response:
                assert text == (await response.json())["text"]
        assert await served.stop() == 0, "a reader that does not read does not keep a server from ending"
        for connection in lazy:
            connection.close()


async def unread(served: Project, path: str, number: int) -> list[socket.socket]:
    """Connections that ask for streams and take as little as the system lets them."""
    loop = asyncio.get_running_loop()
    host, port = served.url.removeprefix("http://").split(":")
    body = b'{"input":"Hi","stream":true}'
    head = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connections = []
    for _ in range(number):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.setblocking(False)
        await loop.sock_connect(connection, (host, int(port)))
        await loop.sock_sendall(connection, head.encode() + body)
        connections.append(connection)
    return connections


async def read_at_last(connection: socket.socket) -> str:
    """The text of a chunked event stream, to its end."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    async with asyncio.timeout(30):
        while not data.endswith(b"0\r\n\r\n"):
            piece = await loop.sock_recv(connection, 1 << 20)
            assert piece, "the stream broke off"
            data += piece
    reader = asyncio.StreamReader(limit=1 << 26)
    rest = bytes(data).partition(b"\r\n\r\n")[2]
    while rest:  # chunks: a length in hex, the bytes, each with a line break behind
        size, _, rest = rest.partition(b"\r\n")
        reader.feed_data(rest[: int(size, 16)])
        rest = rest[int(size, 16) + 2 :]
    reader.feed_eof()
    events = await sse(type("Response", (), {"content": reader})())
    return "".join(event["text"] for _, name, event in events if name == "text.delta")
