"""A request that no target can carry out: every face names the model, what it lacks, and what to do about it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from golive.config.schema import CapabilityConfig, GoliveConfig
from tests.e2e.gateway_kit import Server, serving

PICTURE = "https://pictures.example/a.png"
CHAT = {"model": "sim/sim-text"}
TOOL = {"name": "look", "parameters": {"type": "object"}}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    poor = CapabilityConfig(tools=False, images=False, structured_output=False, embeddings=False)
    blind = CapabilityConfig(images=False)
    async with serving(tmp_path, GoliveConfig(capabilities={"sim/sim-text": poor, "sim/sim-echo": blind})) as running:
        running.put_agent("plain", "sim/sim-echo")
        yield running


SCHEMA = {"name": "o", "schema": {"type": "object"}}
REFUSED: list[tuple[str, dict[str, Any], str, str, str]] = [
    (
        "/v1/chat/completions",
        {"messages": [{"role": "user", "content": "Hi"}], "tools": [{"type": "function", "function": TOOL}]},
        "tools", "takes no tools", "the tools",
    ),
    (
        "/v1/chat/completions",
        {"stream": True, "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": PICTURE}}
        ]}]},
        "images", "takes no images", "the images",
    ),
    (
        "/v1/responses", {"input": "Hi", "text": {"format": {"type": "json_schema", **SCHEMA}}},
        "structured_output", "binds no answer to a JSON schema", "the JSON schema of the answer",
    ),
    (
        "/v1/messages",
        {"max_tokens": 9, "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "url", "url": PICTURE}}
        ]}]},
        "images", "takes no images", "the images",
    ),
    ("/v1/embeddings", {"input": "Hi"}, "", "makes no embeddings", ""),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "lacks", "says", "leave_out"), REFUSED)
async def test_a_relayed_call_says_who_lacks_what_and_the_remedies(
    server: Server, path: str, body: dict[str, Any], lacks: str, says: str, leave_out: str
) -> None:
    """For the caller (leave it out, another model) and for the operator (the capability), and nobody is asked."""
    async with server.client() as http, http.post(path, json=CHAT | body) as response:
        error = (await response.json())["error"]
    assert (response.status, error["code"]) == (400, "model.incapable")
    assert error["message"].startswith(f"sim/sim-text {says}")
    assert '[capabilities."sim/sim-text"]' in error["message"]
    if lacks:
        assert f"Leave {leave_out} out of the request, or use another model." in error["message"]
        assert f"`{lacks}` of [capabilities." in error["message"]
    assert server.sent() == []


async def test_the_user_of_an_agent_is_told_to_leave_pictures_out(server: Server) -> None:
    """In the user's words; who operates the server reads model, capability and remedy in the run's journal."""
    told: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE}}]}]
    async with server.client() as http:
        native = [{"role": "user", "content": [{"type": "image", "url": PICTURE}]}]
        async with http.post("/v1/agents/plain/runs", json={"input": native}) as response:
            result = await response.json()
        async with http.post("/v1/chat/completions", json={"model": "plain", "messages": told}) as response:
            error = (await response.json())["error"]
    assert (result["outcome"], result["reason"]) == ("failed", "model.incapable")
    assert "cannot look at pictures" in result["message"]
    assert (response.status, error["code"], error["message"]) == (400, "model.incapable", result["message"])
    events = await server.runtime.events("default", result["run"], 0, 100)
    (failed,) = [event for event in events if event.kind == "model.failed"]
    assert b"sim/sim-echo takes no images" in failed.body
    assert b"`images` of [capabilities." in failed.body


async def test_tools_that_are_the_agents_own_are_the_operators_business(server: Server) -> None:
    """The user of an agent whose model takes no tools can leave nothing out: it is not set up."""
    server.put_agent("support", "sim/sim-text")
    async with server.client() as http, http.post("/v1/agents/support/runs", json={"input": "Hi"}) as response:
        result = await response.json()
    assert (result["outcome"], result["reason"]) == ("failed", "model.incapable")
    assert "not set up" in result["message"]
