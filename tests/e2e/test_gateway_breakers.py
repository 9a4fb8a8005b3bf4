"""Circuit breakers over HTTP: how they stand, and closing them by hand."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.gateway_kit import Server, serving

CALL = {"model": "sim/sim-text", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as server:
        yield server


async def break_it(server: Server) -> None:
    server.script("sim-text", status=500)
    async with server.client() as http:
        for _ in range(5):
            async with http.post("/v1/chat/completions", json=CALL) as response:
                assert response.status == 500
        async with http.post("/v1/chat/completions", json=CALL) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (503, "model.circuit_open")
            assert 1 <= int(response.headers["retry-after"]) <= 30
    server.script("sim-text", text="I am well.")


async def test_an_open_breaker_is_listed_and_closed_by_hand(server: Server) -> None:
    await break_it(server)
    async with server.client() as http:
        async with http.get("/v1/breakers") as response:
            cards = (await response.json())["data"]
        card = next(card for card in cards if card["target"] == "sim/sim-text")
        assert (card["target"], card["state"], card["opened"]) == ("sim/sim-text", "open", 1)
        assert 0 < card["wait_s"] <= 30
        async with http.post("/v1/breakers/reset", json={"target": "sim/sim-text"}) as response:
            assert await response.json() == {"closed": 1}
        async with http.post("/v1/chat/completions", json=CALL) as response:
            assert (await response.json())["choices"][0]["message"]["content"] == "I am well."
        async with http.post("/v1/breakers/reset") as response:
            assert await response.json() == {"closed": 0}


async def test_a_target_that_nobody_asked_is_refused_by_name(server: Server) -> None:
    async with server.client() as http, http.post("/v1/breakers/reset", json={"target": "sim/none"}) as response:
        problem = await response.json()
    assert (response.status, problem["field"]) == (404, "target")


async def test_it_takes_an_operator(server: Server) -> None:
    user = (await server.keys.create("default", "u", "user", created_by="tests")).secret
    operator = (await server.keys.create("default", "o", "operator", created_by="tests")).secret
    async with server.client(user) as http:
        async with http.get("/v1/breakers") as response:
            assert response.status == 200
        async with http.post("/v1/breakers/reset") as response:
            problem = await response.json()
            assert response.status == 403
            assert (problem["verb"], problem["role"], problem["roles"]) == (
                "breakers.reset", "user", ["operator", "admin"]
            )  # fmt: skip
            assert problem["detail"] == "Role 'user' does not include 'breakers.reset'."
            assert problem["remedy"] == "Use a key of the role operator or admin."
    async with server.client(operator) as http, http.post("/v1/breakers/reset") as response:
        assert response.status == 200
