"""When to come back, where no model answers an agent: each face's header, the run, its journal, its stream's end."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.gateway_kit import Server, serving, sse

HI = [{"role": "user", "content": "Hi"}]
FACES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HI},
    "/v1/responses": {"input": "Hi"},
    "/v1/messages": {"messages": HI, "max_tokens": 50},
}
OPEN_S = 30


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as running:
        running.put_agent("brief", "sim/sim-text")
        yield running


async def open_breaker(http: aiohttp.ClientSession, server: Server) -> None:
    server.script("sim-text", refuse=True)
    for _ in range(6):
        async with http.post("/v1/chat/completions", json={"model": "sim/sim-text", "messages": HI}) as response:
            code = (await response.json())["error"]["code"]
    assert code == "model.circuit_open"


@pytest.mark.parametrize("path", FACES)
async def test_an_agent_behind_an_open_breaker_says_when_to_come_back(server: Server, path: str) -> None:
    """Status 503, with the seconds until the breaker lets somebody through; an SDK is not to repeat the run itself."""
    async with server.client() as http:
        await open_breaker(http, server)
        async with http.post(path, json={"model": "brief", **FACES[path]}) as response:
            assert response.status == 503
            assert 1 < int(response.headers["retry-after"]) <= OPEN_S
            assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", FACES)
async def test_an_agent_whose_provider_is_busy_passes_its_time_on(server: Server, path: str) -> None:
    """The provider's own Retry-After, when it says so, and what is left of it, while it is left alone."""
    server.script("sim-text", status=429, retry_after=600)
    async with server.client() as http:
        for at_least in (600, 590):
            async with http.post(path, json={"model": "brief", **FACES[path]}) as response:
                assert response.status == 429
                assert at_least <= int(response.headers["retry-after"]) <= 600
                assert len(response.headers.getall("retry-after")) == 1


async def test_a_run_says_when_to_come_back(server: Server) -> None:
    """The native answer, the run asked for later, its journal and the end of its stream; the status stays 200."""
    runs = "/v1/agents/brief/runs"
    async with server.client() as http:
        await open_breaker(http, server)
        async with http.post(runs, json={"input": "Hi"}) as response:
            result = await response.json()
            assert (response.status, "retry-after" in response.headers) == (200, False)
        async with http.post(runs, json={"input": "Hi", "stream": True}) as response:
            ended = (await sse(response))[-1][2]
        async with http.get(f"/v1/runs/{result['run']}") as response:
            later = await response.json()
        async with http.get(f"/v1/runs/{result['run']}/events", params={"format": "json"}) as response:
            last = (await response.json())["data"][-1]
    assert (result["outcome"], result["reason"]) == ("failed", "model.circuit_open")
    assert 1 < result["retry_after_s"] <= OPEN_S
    assert later["retry_after_s"] == last["body"]["retry_after_s"] == result["retry_after_s"]
    assert 1 < ended["retry_after_s"] <= OPEN_S


@pytest.mark.parametrize("path", FACES)
async def test_where_nobody_said_when_it_is_soon_and_where_it_would_not_help_it_is_not_said(
    server: Server, path: str
) -> None:
    """A failure that passes has a Retry-After of 1; a request that no model can work with has none."""
    async with server.client() as http:
        for status, told in ((500, "1"), (400, None)):
            server.script("sim-text", status=status)
            async with http.post(path, json={"model": "brief", **FACES[path]}) as response:
                assert response.status >= 400
                assert response.headers.get("retry-after") == told
            async with http.post("/v1/agents/brief/runs", json={"input": "Hi"}) as response:
                assert (await response.json())["retry_after_s"] is None
