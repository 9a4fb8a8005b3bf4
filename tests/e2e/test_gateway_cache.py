"""Kept answers through the whole server: who asks for them, who is given them, and what is written of it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from golive.config.schema import CacheConfig, GoliveConfig, PriceConfig, TierConfig
from golive.core.events import Event, decode_body
from golive.store.ports import RunFilter
from tests.e2e.gateway_kit import Server, serving

PRICES = {"sim/*": PriceConfig(input_usd_per_mtok=10, output_usd_per_mtok=10)}
ASKED: dict[str, Any] = {"model": "sim/sim-echo", "messages": [{"role": "user", "content": "Hello there"}]}
KEEP = {"x-golive-cache-ttl-s": "60"}


def finished(events: list[Event]) -> Any:
    (body,) = [decode_body(event) for event in events if event.kind == "model.finished"]
    return body


async def chat(server: Server, headers: dict[str, str] | None = None, key: str | None = None, **fields: Any) -> Any:
    """Status and answer of a chat completion."""
    async with server.client(key) as client:
        body = ASKED | fields
        async with client.post("/v1/chat/completions", json=body, headers=headers) as response:
            answer = await response.text() if fields.get("stream") else await response.json()
            return response.status, response.headers.get("x-request-id"), answer


async def test_a_client_asks_for_kept_answers_by_header(tmp_path: Path) -> None:
    """The second answer is the first one; its run says that it was kept, costs nothing, and what it saved. Without the
    header, and with 0, every call goes out."""
    async with serving(tmp_path, GoliveConfig(prices=PRICES)) as server:
        server.script("sim-echo", mode="echo")
        first, second = await chat(server, KEEP), await chat(server, KEEP)
        assert first[2]["choices"] == second[2]["choices"]
        assert (first[2]["usage"], len(server.sent())) == (second[2]["usage"], 1)
        tenant = server.store.tenant("default")
        paid, kept = [finished(await tenant.events(run)) for _, run, _ in (first, second)]
        assert (paid.cached, kept.cached, kept.cost_microusd, kept.priced) == (False, True, 0, True)
        assert kept.saved_microusd == paid.cost_microusd > 0
        views = {view.run: view for view in await tenant.runs(RunFilter())}
        assert (views[second[1]].cost_microusd, views[second[1]].saved_microusd) == (0, paid.cost_microusd)
        assert await tenant.spent(second[1]) == 0
        sample = server.metrics.registry.get_sample_value
        labels = {"tenant": "default", "target": "sim/sim-echo"}
        assert sample("golive_model_calls_total", labels | {"result": "cached"}) == 1
        assert sample("golive_model_saved_usd_total", labels) == paid.cost_microusd / 1e6
        await chat(server)
        await chat(server, {"x-golive-cache-ttl-s": "0"})
        assert len(server.sent()) == 3


async def test_streamed_answers_are_kept_for_themselves(tmp_path: Path) -> None:
    """Every piece of text comes again; a stream and a whole answer are different requests."""
    async with serving(tmp_path) as server:
        server.script("sim-echo", text="one two three four")
        told = [(await chat(server, KEEP, stream=True))[2] for _ in range(2)]
        assert told[0] == told[1]
        assert told[0].endswith("data: [DONE]\n\n")
        assert "four" in told[0]
        await chat(server, KEEP)
        assert len(server.sent()) == 2


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", "86401", ""])
async def test_a_header_that_is_no_time_is_refused(tmp_path: Path, value: str) -> None:
    """By name, with what was sent and what can be."""
    async with serving(tmp_path) as server:
        status, _, answer = await chat(server, {"x-golive-cache-ttl-s": value})
        assert status == 400
        assert "x-golive-cache-ttl-s" in answer["error"]["message"]
        assert server.sent() == []


async def test_what_golive_toml_keeps_is_deterministic_alone(tmp_path: Path) -> None:
    """With `cache.ttl_s`, requests with temperature 0 or a seed are answered again; a client can say no."""
    async with serving(tmp_path, GoliveConfig(cache=CacheConfig(ttl_s=60))) as server:
        server.script("sim-echo", mode="echo")
        for fields, calls in (({}, 2), ({"temperature": 0}, 3), ({"seed": 1}, 4), ({"temperature": 1}, 6)):
            for _ in range(2):
                await chat(server, **fields)
            assert len(server.sent()) == calls, fields
        await chat(server, {"x-golive-cache-ttl-s": "0"}, temperature=0)
        assert len(server.sent()) == 7


async def test_equal_calls_at_the_same_time_are_one(tmp_path: Path) -> None:
    """Ten clients, one call to the provider, one of them pays; each has its own run."""
    async with serving(tmp_path, GoliveConfig(prices=PRICES)) as server:
        server.script("sim-echo", text="one two three", first_token_ms=300.0)
        answers = await asyncio.gather(*[chat(server, KEEP) for _ in range(10)])
        assert {answer["choices"][0]["message"]["content"] for _, _, answer in answers} == {"one two three"}
        assert len(server.sent()) == 1
        runs = [run for _, run, _ in answers]
        spent = [await server.store.tenant("default").spent(run) for run in runs]
        assert (len(set(runs)), sorted(spent)[:9]) == (10, [0] * 9)
        assert max(spent) > 0


async def test_an_agents_tier_keeps_its_answers(tmp_path: Path) -> None:
    """With `cache_ttl_s`, whatever the temperature; a tier without goes out every time."""
    async with serving(tmp_path, GoliveConfig(prices=PRICES)) as server:
        server.script("sim-echo", mode="echo")
        for ttl_s, calls in ((None, 2), (60.0, 3)):
            tier = TierConfig(chain=("sim/sim-echo",), cache_ttl_s=ttl_s)
            server.put_agent("support", "sim/sim-echo", tier=tier)
            results = [(await chat(server, model="support"))[2]["choices"][0]["message"]["content"] for _ in range(2)]
            assert results == ["Hello there"] * 2
            assert len(server.sent()) == calls
        kept = [view for view in await server.store.tenant("default").runs(RunFilter()) if view.saved_microusd]
        assert [(view.cost_microusd, view.outcome) for view in kept] == [(0, "completed")]


async def test_a_kept_answer_is_given_while_every_provider_is_out(tmp_path: Path) -> None:
    """The cache stands around the whole chain."""
    async with serving(tmp_path) as server:
        server.script("sim-echo", mode="echo")
        first = await chat(server, KEEP)
        await server.sim.stop()
        assert (await chat(server, KEEP))[2]["choices"] == first[2]["choices"]
        assert (await chat(server))[0] >= 500


async def test_the_header_is_described_where_it_is_heard(tmp_path: Path) -> None:
    """In the server's own description, at every face that relays."""
    async with serving(tmp_path) as server, server.client() as client, client.get("/openapi.json") as response:
        paths = (await response.json())["paths"]
    told = {
        path for path, methods in paths.items() for method in methods.values() if isinstance(method, dict)
        for param in method.get("parameters", ()) if param["name"] == "x-golive-cache-ttl-s"
    }  # fmt: skip
    assert told == {"/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings"}
