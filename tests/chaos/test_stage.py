"""What the monkey does to PostgreSQL on the stage really breaks it, and it comes back."""

import os
import signal
from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.chaos.fault_proxy import FaultProxy
from tests.postgres_kit import PostgresServer


@pytest.fixture
async def postgres() -> AsyncIterator[PostgresServer]:
    """A server of the test's own, as it will not stay whole."""
    server = PostgresServer()
    try:
        server.start()
        server.create("golive")
        yield server
    finally:
        server.remove()


async def again(url: str) -> asyncpg.Connection:
    """A connection, as soon as the server has recovered; the test's own timeout bounds it."""
    while True:
        try:
            return await asyncpg.connect(url)
        except (OSError, asyncpg.PostgresError):
            continue


async def test_a_killed_backend_ends_all_connections_and_the_server_recovers(postgres: PostgresServer) -> None:
    """Only what serves golive's database is found; what had been committed is there afterwards."""
    proxies = [FaultProxy(f"store r{number}", str(postgres.socket)) for number in (1, 2)]
    urls = [f"postgresql://golive@127.0.0.1:{await proxy.start()}/golive" for proxy in proxies]
    first, second = [await asyncpg.connect(url) for url in urls]
    await first.execute("CREATE TABLE kept AS SELECT 42 AS value")
    elsewhere = await asyncpg.connect(postgres.url("postgres"))
    pids = [await connection.fetchval("SELECT pg_backend_pid()") for connection in (first, second)]
    assert sorted(postgres.backends("golive")) == sorted(pids)
    os.kill(pids[0], signal.SIGKILL)
    for connection in (first, second, elsewhere):
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            while True:
                await connection.fetchval("SELECT 1")
    back = await again(urls[1])
    assert await back.fetchval("SELECT value FROM kept") == 42
    assert not set(postgres.backends("golive")) & set(pids)
    await back.close()
    for proxy in proxies:
        await proxy.stop()
    postgres.stop()
    assert postgres.backends("golive") == []
