"""The official openai SDK on /v1/embeddings: vectors of every dialect's providers, their price, and what is refused."""

import asyncio
import base64
from array import array
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest

from golive.config.schema import GoliveConfig, PriceConfig, ProviderConfig
from golive.store.ports import RunFilter, RunView
from tests.e2e.gateway_kit import Server, serving

PROVIDERS = ["sim", "openai", "gemini"]
MODEL = {"sim": "sim/sim-embed", "openai": "openai/sim-embed", "gemini": "gemini/sim-embed"}


def _simulated(base_url: str) -> dict[str, ProviderConfig]:
    return {
        "openai": ProviderConfig(base_url=base_url, dialect="openai-responses"),
        "gemini": ProviderConfig(base_url=f"{base_url}beta", dialect="gemini"),
        "claude": ProviderConfig(base_url=base_url, dialect="anthropic"),
    }


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    prices = {"*": PriceConfig(input_usd_per_mtok=1_000_000, output_usd_per_mtok=0)}
    async with serving(tmp_path, GoliveConfig(prices=prices), providers=_simulated) as running:
        yield running


async def _runs(server: Server) -> list[RunView]:
    return await server.store.tenant("default").runs(RunFilter())


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_vectors_come_as_they_are_asked_for(server: Server, provider: str) -> None:
    """One for each text in their order, of the length wanted, as numbers or as base64 of the same numbers."""
    ask: Any = {"model": MODEL[provider], "input": ["one two", "three"], "dimensions": 64}
    async with server.openai() as sdk:
        plain = await sdk.embeddings.create(**ask, encoding_format="float")
        decoded = await sdk.embeddings.create(**ask)  # the SDK asks for base64 and decodes it
        single = await sdk.embeddings.create(model=MODEL[provider], input="three", dimensions=64)
    body = {**ask, "encoding_format": "base64"}
    async with server.client() as http, http.post("/v1/embeddings", json=body) as response:
        packed = (await response.json())["data"][1]["embedding"]
    assert (plain.object, [one.index for one in plain.data]) == ("list", [0, 1])
    assert [len(one.embedding) for one in plain.data] == [64, 64]
    for one, other in zip(plain.data, decoded.data, strict=True):
        assert other.embedding == pytest.approx(one.embedding, abs=1e-6)
    assert single.data[0].embedding == pytest.approx(plain.data[1].embedding, abs=1e-6)
    assert array("f", base64.b64decode(packed)).tolist() == pytest.approx(plain.data[1].embedding, abs=1e-6)


async def test_a_call_is_a_run_with_a_price_and_no_content(server: Server) -> None:
    """It is journalled and priced as every relayed call, under the id that the answer names; no text is kept."""
    async with server.openai() as sdk:
        raw = await sdk.embeddings.with_raw_response.create(model="sim/sim-embed", input="one two", user="u-1")
        answer = raw.parse()
    run = (await _runs(server))[0]
    assert raw.headers["x-request-id"] == run.run
    assert (run.agent, run.source, run.outcome, run.estimated) == ("sim/sim-embed", "relay", "completed", False)
    assert run.input_tokens == answer.usage.prompt_tokens == answer.usage.total_tokens > 0
    assert run.cost_microusd == run.input_tokens * 1_000_000
    assert server.sent()[-1]["user"] == "u-1"
    events = await server.store.tenant("default").events(run.run)
    assert [event.kind for event in events] == ["run.accepted", "model.finished", "run.finished"]
    assert not any(b"one two" in event.body for event in events)


@pytest.mark.parametrize(
    ("options", "param", "words"),
    [
        ({"model": "support"}, "model", "an agent does not"),
        ({"input": ""}, "input", "is empty"),
        ({"input": []}, "input", "0 texts"),
        ({"input": ["a", ""]}, "input[1]", "is empty"),
        ({"input": [[1, 2], []]}, "input[1]", "is empty"),
        ({"input": [1, "a"]}, "input", "mixes tokens with texts"),
        ({"input": ["a"] * 2_049}, "input", "2049 texts"),
        ({"input": {"a": 1}}, "input", "object"),
        ({"input": [-1]}, "input[0]", ">= 0"),
        ({"dimensions": 0}, "dimensions", ">= 1"),
        ({"encoding_format": "hex"}, "encoding_format", "base64"),
        ({"model": "gemini/sim-embed", "extra_body": {"vendor_thing": 1}}, "vendor_thing", "speaks gemini"),
    ],
)  # fmt: skip
async def test_what_cannot_be_embedded_is_refused_by_name(
    server: Server, options: dict[str, Any], param: str, words: str
) -> None:
    """A request that makes no sense is a 400 naming field and remedy; nobody is asked, and no run is made."""
    async with server.openai() as sdk:
        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.embeddings.create(**{"model": "sim/sim-embed", "input": "x", **options})
    assert refused.value.param == param
    assert words in refused.value.message
    assert server.sent() == []
    assert await _runs(server) == []


async def test_refusals_have_the_sdks_classes(server: Server) -> None:
    """No right, no such provider, a dialect without embeddings, a provider that refuses or is not there."""
    viewer = (await server.keys.create("default", "v", "viewer", created_by="tests")).secret
    async with server.openai(viewer) as sdk:
        with pytest.raises(openai.PermissionDeniedError):
            await sdk.embeddings.create(model="sim/sim-embed", input="x")
    async with server.openai() as sdk:
        with pytest.raises(openai.NotFoundError) as missing:
            await sdk.embeddings.create(model="nowhere/m", input="x")
        assert missing.value.code == "not_found"
        with pytest.raises(openai.BadRequestError):
            await sdk.embeddings.create(model="claude/sim-embed", input="x")
        server.script("sim-embed", status=429, error_message="Vendor says no.", error_code="vendor_code", retry_after=7)
        with pytest.raises(openai.RateLimitError) as limited:
            await sdk.embeddings.create(model="sim/sim-embed", input="x")
        assert (limited.value.code, limited.value.response.headers["retry-after"]) == ("vendor_code", "7")
        with pytest.raises(openai.InternalServerError) as dead:
            await sdk.embeddings.create(model="dead/m", input="x")
        assert dead.value.code == "model.unreachable"
    assert [(run.outcome, run.reason) for run in await _runs(server)][:2] == [
        ("failed", "model.unreachable"), ("failed", "model.rate_limited"),
    ]  # fmt: skip


async def test_a_client_that_leaves_ends_the_call(server: Server) -> None:
    """A call that nobody waits for any more is given up, and counted at its bound."""
    server.script("sim-embed", hang_ms=60_000.0)
    async with server.openai(timeout=0.2) as sdk:
        with pytest.raises(openai.APITimeoutError):
            await sdk.embeddings.create(model="sim/sim-embed", input="x" * 40)
    async with asyncio.timeout(30):
        while server.relay.open_calls:
            await asyncio.sleep(0.01)
    run = (await _runs(server))[0]
    assert (run.outcome, run.reason, run.estimated, run.input_tokens) == ("cancelled", "disconnected", True, 40)
