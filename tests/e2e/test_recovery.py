"""Answers that break off in the middle, as clients see it: native, and by the official SDKs; over real connections."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from golive.config.schema import CapabilityConfig, GoliveConfig, TierConfig
from golive.core.tasks import Tasks
from tests.e2e.gateway_kit import Server, serving, sse

TEXT = "Your parcel left Ghent on Monday and will be with you on Thursday, between nine and noon. Anything else?"
OTHER = "It is on its way."
RUNS = "/v1/agents/courier/runs"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    config = GoliveConfig(capabilities={"sim/sim-prefill": CapabilityConfig(prefill=True)})
    async with serving(tmp_path, config) as server:
        server.script("sim-cut", text=TEXT, cut_after=10)
        yield server


def serve(server: Server, backup: str, **tier: Any) -> None:
    """An agent whose first target breaks off after ten tokens."""
    chain = ("sim/sim-cut", f"sim/{backup}")
    server.put_agent("courier", chain[0], TierConfig(chain=chain, retries=0, **tier))


def shown(events: list[tuple[str, str, Any]]) -> str:
    """What a native client shows in the end: it takes back what it is told to."""
    items: dict[str, str] = {}
    for _, name, data in events:
        if name == "text.delta":
            items[data["item"]] = items.get(data["item"], "") + data["text"]
        elif name == "text.reset":
            items[data["item"]] = items[data["item"]][: data["length"]]
    return "".join(items.values())


async def follow(server: Server) -> list[tuple[str, str, Any]]:
    async with server.client() as http, http.post(RUNS, json={"input": "Where is it?", "stream": True}) as response:
        assert response.status == 200
        return await sse(response)


async def test_a_native_client_sees_one_text_where_a_target_can_go_on(server: Server) -> None:
    server.script("sim-prefill", text=TEXT, prefill="continue")
    serve(server, "sim-prefill")
    events = await follow(server)
    names = [name for _, name, _ in events]
    assert (shown(events), "text.reset" in names, names.count("model.failed")) == (TEXT, False, 1)
    assert (events[-1][2]["outcome"], events[-1][2]["text"]) == ("completed", TEXT)


async def test_it_is_told_what_to_take_back_where_none_can(server: Server) -> None:
    server.script("sim-other", text=OTHER)
    serve(server, "sim-other")
    events = await follow(server)
    resets = [data for _, name, data in events if name == "text.reset"]
    assert (shown(events), resets) == (OTHER, [{"item": "msg_1", "length": 0}])
    assert (events[-1][2]["outcome"], events[-1][2]["text"]) == ("completed", OTHER)


@pytest.mark.parametrize(("on_break", "resets"), [("continue", []), ("reset", [0])])
async def test_what_it_was_shown_stands_where_every_target_breaks_off(
    server: Server, on_break: Any, resets: list[int]
) -> None:
    server.script("sim-prefill", text=TEXT, prefill="continue", cut_after=5)
    serve(server, "sim-prefill", on_break=on_break)
    events = await follow(server)
    end = events[-1][2]
    assert (end["outcome"], end["reason"], end["text"]) == ("partial", "model.cut", shown(events))
    assert [data["length"] for _, name, data in events if name == "text.reset"] == resets
    assert shown(events)
    assert TEXT.startswith(shown(events))


async def test_who_comes_back_anywhere_sees_the_same_text(server: Server) -> None:
    server.script("sim-other", text=OTHER)
    serve(server, "sim-other")
    events = await follow(server)
    run = events[0][2]["run"]
    async with server.client() as http:
        for seen in range(1, len(events)):
            headers = {"Last-Event-ID": events[seen - 1][0]}
            async with http.get(f"/v1/runs/{run}/events", headers=headers) as response:
                assert shown(events[:seen] + await sse(response)) == OTHER


async def test_the_openai_client_sees_one_text_where_a_target_can_go_on(server: Server) -> None:
    server.script("sim-prefill", text=TEXT, prefill="continue")
    serve(server, "sim-prefill")
    said, reasons = "", []
    stream = await server.openai().chat.completions.create(
        model="courier", messages=[{"role": "user", "content": "Where is it?"}], stream=True
    )
    async for chunk in stream:
        said += chunk.choices[0].delta.content or ""
        reasons.append(chunk.choices[0].finish_reason)
    assert (said, reasons[-1]) == (TEXT, "stop")


async def test_and_a_partial_answer_where_none_can_never_a_splice(server: Server) -> None:
    server.script("sim-other", text=OTHER)
    serve(server, "sim-other")
    said, reason = "", None
    stream = await server.openai().chat.completions.create(
        model="courier", messages=[{"role": "user", "content": "Where is it?"}], stream=True
    )
    async for chunk in stream:
        said += chunk.choices[0].delta.content or ""
        reason = chunk.choices[0].finish_reason or reason
    assert TEXT.startswith(said)
    assert (bool(said), reason) == (True, "length")


async def test_whoever_waits_for_the_whole_answer_gets_a_whole_one(server: Server) -> None:
    server.script("sim-other", text=OTHER)
    serve(server, "sim-other")
    answer = await server.openai().chat.completions.create(
        model="courier", messages=[{"role": "user", "content": "Where is it?"}]
    )
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (OTHER, "stop")


@pytest.mark.parametrize(("prefill", "joined"), [("overlap", True), ("restart", True), ("diverge", False)])
async def test_a_target_asked_in_words_is_joined_only_where_it_fits(server: Server, prefill: Any, joined: bool) -> None:
    asks_on = "Your last message was cut off"
    server.script("sim-words", text=TEXT, prefill=prefill, continue_on=asks_on, overlap=8)
    serve(server, "sim-words", continue_instructed=True)
    events = await follow(server)
    assert events[-1][2]["outcome"] == "completed"
    resets = [data["length"] for _, name, data in events if name == "text.reset"]
    assert resets == ([] if joined else [0])
    assert not joined or shown(events) == TEXT


async def test_every_attempt_is_counted_in_the_runs_cost(server: Server) -> None:
    server.script("sim-prefill", text=TEXT, prefill="continue")
    serve(server, "sim-prefill")
    events = await follow(server)
    finished = next(data for _, name, data in events if name == "model.finished")
    assert events[-1][2]["usage"]["output_tokens"] > finished["usage"]["output_tokens"]
    assert events[-1][2]["estimated"]


@pytest.mark.parametrize("fault", [{"refuse": True}, {"status": 503}, {"cut_after": 10, "cut": "reset"}], ids=str)
async def test_a_hundred_at_once_are_all_answered_whole(server: Server, fault: dict[str, Any]) -> None:
    """Whatever the primary does to them; every text is right to the letter."""
    server.script("sim-cut", text=TEXT, pace_ms=2, **fault)
    server.script("sim-prefill", text=TEXT, prefill="continue", pace_ms=2)
    serve(server, "sim-prefill")
    async with Tasks("clients") as clients:
        asked = [clients.start(follow(server), str(number)) for number in range(100)]
    for task in asked:
        events = task.result()
        assert (shown(events), events[-1][2]["outcome"]) == (TEXT, "completed")
