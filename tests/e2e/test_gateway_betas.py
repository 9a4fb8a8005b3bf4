"""`anthropic-beta` and `openai-beta` of relayed calls: handed on to the same dialect, bounded, and to nobody else."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import pytest

from golive.config.schema import ProviderConfig
from tests.e2e.gateway_kit import Server, serving

HI = [{"role": "user", "content": "Hi"}]
MESSAGES: dict[str, Any] = {"max_tokens": 20, "messages": HI}
FACES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("/v1/messages", "anthropic-beta", "claude/sim-text", MESSAGES),
    ("/v1/chat/completions", "openai-beta", "sim/sim-text", {"messages": HI}),
    ("/v1/responses", "openai-beta", "answers/sim-text", {"input": "Hi"}),
]
BETAS = {header for _, header, _, _ in FACES}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    def more(base_url: str) -> dict[str, ProviderConfig]:
        return {
            "claude": ProviderConfig(base_url=base_url, dialect="anthropic"),
            "answers": ProviderConfig(base_url=base_url, dialect="openai-responses"),
            "google": ProviderConfig(base_url=f"{base_url}beta", dialect="gemini"),
        }

    async with serving(tmp_path, providers=more) as running:
        yield running


def received(server: Server) -> dict[str, str]:
    """The beta headers of the last request that the simulator was sent."""
    headers = server.sim.requests.entries()[-1].headers
    return {name: value for name, value in headers.items() if name in BETAS}


async def post(server: Server, path: str, body: dict[str, Any], headers: Any = None) -> tuple[int, Any]:
    async with server.client() as http, http.post(path, json=body, headers=headers) as response:
        return response.status, await response.json()


@pytest.mark.parametrize(("path", "header", "model", "body"), FACES)
async def test_it_reaches_a_provider_of_the_same_dialect_alone(
    server: Server, path: str, header: str, model: str, body: dict[str, Any]
) -> None:
    """Names of several lines as one, each once; a provider of another dialect, and a call without, has none."""
    lines = [(header, "one-2025-05-14, two=v2,,one-2025-05-14"), (header, "three"), ("x-other", "no")]
    for target in ("claude/sim-text", "sim/sim-text", "answers/sim-text", "google/sim-text"):
        status, answer = await post(server, path, {"model": target, **body}, lines)
        assert status == 200, answer
        assert received(server) == ({header: "one-2025-05-14,two=v2,three"} if target == model else {})
        assert "x-other" not in server.sim.requests.entries()[-1].headers
    await post(server, path, {"model": model, **body})
    assert received(server) == {}


@pytest.mark.parametrize(("path", "header", "model", "body"), FACES)
@pytest.mark.parametrize(
    "value", ["a b", "x" * 101, "é", "a;b", ",".join(f"n{number}" for number in range(33)), "-a", 'a"b']
)
async def test_what_is_no_list_of_names_is_refused(
    server: Server, path: str, header: str, model: str, body: dict[str, Any], value: str
) -> None:
    """By the header's name, before anybody is asked."""
    status, answer = await post(server, path, {"model": model, **body}, {header: value})
    error = answer["error"]
    assert (status, error["code"], error["param"]) == (400, "request.invalid", header)
    assert header in error["message"]
    assert server.sent() == []


async def test_anthropics_client_names_its_betas(server: Server) -> None:
    """`client.beta.messages.create(betas=…)`, as it stands."""
    async with anthropic.AsyncAnthropic(base_url=server.url, api_key=server.admin, max_retries=0) as client:
        answer = await client.beta.messages.create(
            model="claude/sim-text", max_tokens=20, messages=[{"role": "user", "content": "Hi"}], betas=["one", "two"]
        )
    assert answer.role == "assistant"
    assert received(server) == {"anthropic-beta": "one,two"}


async def test_an_agent_decides_for_itself(server: Server) -> None:
    """The header of a caller does not reach an agent's models."""
    server.put_agent("plain", "sim/sim-echo")
    status, _ = await post(server, "/v1/chat/completions", {"model": "plain", "messages": HI}, {"openai-beta": "one"})
    assert (status, received(server)) == (200, {})
