"""`golive serve` whose PostgreSQL is away at its start: it lives, is not ready, says so, and comes up by itself."""

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from tests.e2e.process_kit import Project, project
from tests.postgres_kit import PostgresServer

TRY = "store.awaited"


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    """A server of the test's own, not started, with an empty database `golive`."""
    server = PostgresServer("max_connections=30")
    server.start()
    server.create("golive")
    server.stop()
    yield server
    server.remove()


@pytest.fixture
async def on(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Project]:
    """A project on that database, at a port that is known before it answers."""
    async with project(tmp_path) as made:
        made.environ |= {"GOLIVE_STORE__URL": postgres.url("golive"), "GOLIVE_SERVER__PORT": str(free_port())}
        yield made


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def asked(on: Project, path: str) -> tuple[int, dict[str, object]]:
    """Status and body; waits until something listens."""
    url = f"http://127.0.0.1:{on.environ['GOLIVE_SERVER__PORT']}{path}"
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(url) as answer:
                    return answer.status, msgspec.json.decode(await answer.read())
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.05)


async def until_tried(on: Project, tries: int) -> list[dict[str, object]]:
    async with asyncio.timeout(20):
        while len(told := [line for line in on.log() if line["event"] == TRY]) < tries:
            await asyncio.sleep(0.05)
    return told


async def test_a_server_that_starts_during_a_failover_comes_up_by_itself(on: Project, postgres: PostgresServer) -> None:
    """Live and not ready meanwhile, each try in the log; then it serves, on the connections that are there too."""
    process = on.process = await on.spawn()
    told = await until_tried(on, 3)
    assert [line["tries"] for line in told] == [1, 2, 3]
    assert "is unavailable" in str(told[0]["message"])
    assert await asked(on, "/health/live") == (200, {"status": "live"})
    for path in ("/health/ready", "/v1/runs"):
        status, body = await asked(on, path)
        assert (status, body["code"]) == (503, "store.unavailable")
        assert "waits for its database" in str(body["detail"])
    postgres.start()
    assert process.stdout is not None
    async with asyncio.timeout(30):
        url = msgspec.json.decode(await process.stdout.readline())["url"]
    assert url.endswith(on.environ["GOLIVE_SERVER__PORT"])
    assert await asked(on, "/health/ready") == (200, {"status": "ready"})
    assert await on.stop() == 0


async def test_a_signal_ends_the_waiting(on: Project) -> None:
    """With exit code 0, as for a server without work."""
    on.process = await on.spawn()
    await until_tried(on, 1)
    assert await on.stop(signal.SIGTERM) == 0
    assert on.log()[-1]["event"] == "server.stopped"


async def test_after_its_patience_it_says_what_was_wrong_and_ends(on: Project) -> None:
    """How often it tried, how long, and which setting says so."""
    on.environ["GOLIVE_SERVER__START_PATIENCE_S"] = "1"
    on.process = await on.spawn()
    async with asyncio.timeout(20):
        assert await on.process.wait() == 1
    said = on.log_path.read_text().split("error: ")[-1]
    assert "is unavailable" in said
    assert "(server.start_patience_s)" in said


async def test_what_waiting_does_not_mend_ends_the_start_at_once(on: Project, postgres: PostgresServer) -> None:
    """A database that does not exist, and one of another schema."""
    postgres.start()
    url = on.environ["GOLIVE_STORE__URL"]
    on.environ["GOLIVE_STORE__URL"] = postgres.url("nowhere")
    on.process = await on.spawn()
    async with asyncio.timeout(20):
        assert await on.process.wait() == 1
    assert "there is no such database" in on.log_path.read_text()
    postgres.psql("golive", "CREATE TABLE foreign_table (id int)")
    on.environ["GOLIVE_STORE__URL"] = url
    on.process = await on.spawn()
    async with asyncio.timeout(20):
        assert await on.process.wait() == 1
    assert "database of another program" in on.log_path.read_text()
    assert TRY not in on.log_path.read_text()
