"""A translated request that the vendor refuses: the caller reads whose field names it is told, and its own."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from golive.config.schema import ProviderConfig
from tests.e2e.gateway_kit import Server, serving

HI = [{"role": "user", "content": "Hi"}]


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


REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "/v1/chat/completions",
        {"model": "claude/sim-text", "messages": HI, "temperature": 1},
        "claude/sim-text speaks anthropic", "`max_tokens` there is `max_completion_tokens` or `max_tokens` here",
    ),
    (
        "/v1/messages", {"model": "answers/sim-text", "messages": HI, "max_tokens": 9},
        "answers/sim-text speaks openai-responses", "`max_output_tokens` there is `max_tokens` here",
    ),
    (
        "/v1/responses", {"model": "claude/sim-text", "input": "Hi"},
        "claude/sim-text speaks anthropic", "`max_tokens` there is `max_output_tokens` here",
    ),
    (
        "/v1/embeddings", {"model": "google/sim-embed", "input": "Hi", "dimensions": 1_000_000},
        "google/sim-embed speaks gemini", "",
    ),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body", "speaks", "names"), REFUSED)
async def test_a_refusal_says_whose_names_it_has(
    server: Server, path: str, body: dict[str, Any], speaks: str, names: str, *, stream: bool
) -> None:
    """On every face, whole and streamed; the vendor's own words come first."""
    if "claude" in body["model"]:
        server.script("sim-text", status=400, error_message="max_tokens: 200000000 > 64000")
    asked = body | ({"stream": True} if stream and path != "/v1/embeddings" else {})
    async with server.client() as http, http.post(path, json=asked) as response:
        answer = await response.json()
    assert response.status == 400, answer
    message = answer["error"]["message"]
    assert f"({speaks}: field names and places in this message are that API's" in message
    assert not message.startswith("(")
    assert names in message


async def test_a_provider_of_the_same_dialect_is_quoted_as_it_is(server: Server) -> None:
    """Nothing is added to the words of a provider that was sent what the caller wrote."""
    body = {"model": "claude/sim-text", "messages": HI, "max_tokens": 0}
    async with server.client() as http, http.post("/v1/messages", json=body) as response:
        message = (await response.json())["error"]["message"]
    assert response.status == 400
    assert "max_tokens" in message
    assert "speaks" not in message


async def test_a_refusal_within_a_stream_says_it_too(server: Server) -> None:
    """Where the vendor's error event ends an answer that had begun."""
    server.script("sim-text", tokens=9, cut_after=3, cut="error", status=400, error_message="max_tokens: too many")
    body = {"model": "claude/sim-text", "messages": HI, "stream": True}
    async with server.client() as http, http.post("/v1/chat/completions", json=body) as response:
        text = await response.text()
    assert response.status == 200
    assert "max_tokens: too many (claude/sim-text speaks anthropic" in text
