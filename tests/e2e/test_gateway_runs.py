"""Runs over HTTP on a real server: streamed, waited for, in the background, resumed, cancelled, left alone."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from golive.config.schema import GoliveConfig, ServerConfig
from tests.e2e.gateway_kit import Server, serving, sse

CONFIG = GoliveConfig(server=ServerConfig(heartbeat_s=0.1, disconnect_grace_s=0.05))
RUNS = "/v1/agents/support/runs"
ORDER = {"input": "Where is my order A-1001?"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, CONFIG) as running:
        yield running


async def finished(server: Server, run: str) -> Any:
    """The run's result once it has one."""
    async with asyncio.timeout(30):
        return await server.runtime.wait("default", run)


async def test_a_run_is_waited_for_by_default(server: Server) -> None:
    """Without stream or background the answer is the finished run, with where it is to be found."""
    async with server.client() as http, http.post(RUNS, json=ORDER) as response:
        assert response.status == 200
        result = await response.json()
        assert response.headers["location"] == f"/v1/runs/{result['run']}"
        assert response.headers["x-request-id"] == result["run"]
        assert (result["state"], result["outcome"], result["agent"]) == ("finished", "completed", "support")
        assert result["tool_calls"] >= 1
        assert result["text"]
        async with http.get(f"/v1/runs/{result['run']}") as again:
            assert await again.json() == result


async def test_a_stream_begins_at_once_and_ends_with_the_result(server: Server) -> None:
    """Acceptance, text, tool events and the result arrive in order, the first event long before the last."""
    server.script("sim-text", tokens=10, pace_ms=20.0)
    server.put_agent("slow", "sim/sim-text")
    async with server.client() as http:
        async with http.post("/v1/agents/slow/runs", json={"input": "Hi", "stream": True}) as response:
            assert response.content_type == "text/event-stream"
            assert response.headers["cache-control"] == "no-store"
            assert response.headers["x-accel-buffering"] == "no"
            run = response.headers["x-request-id"]
            first = await sse(response, "run.accepted")
            assert first[0][2]["run"] == run
            assert (await server.runtime.result("default", run)).state != "finished"
            rest = await sse(response)
        async with http.post(RUNS, json={**ORDER, "stream": True}) as response:
            names = [name for _, name, _ in await sse(response)]
    assert rest[-1][1] == "run.finished"
    assert "".join(data["text"] for _, name, data in rest if name == "text.delta") == rest[-1][2]["text"]
    assert names.index("tool.started") < names.index("tool.finished") < names.index("run.finished")
    ids = [tuple(map(int, event_id.split("-"))) for event_id, _, _ in first + rest]
    assert ids == sorted(ids)


async def test_a_background_run_is_answered_at_once(server: Server) -> None:
    """202 names the run while it works; it goes on unwatched, and its journal can be read in pages."""
    async with server.client() as http:
        async with http.post(RUNS, json={**ORDER, "background": True, "metadata": {"a": "b"}}) as response:
            assert response.status == 202
            result = await response.json()
            assert result["state"] != "finished"
            assert result["metadata"] == {"a": "b"}
        await finished(server, result["run"])
        events = f"/v1/runs/{result['run']}/events"
        pages, after = [], 0
        while after is not None:
            async with http.get(events, params={"format": "json", "after": after, "limit": 3}) as response:
                page = await response.json()
            pages += page["data"]
            after = page["next"]
    assert [event["seq"] for event in pages] == list(range(1, len(pages) + 1))
    assert pages[0]["kind"] == "run.accepted"
    assert pages[0]["body"]["agent"] == "support"
    assert pages[-1]["kind"] == "run.finished"


async def test_a_stream_resumes_anywhere_without_loss_or_repetition(server: Server) -> None:
    """From every event's id, also inside a step and inside a text, the rest of the stream is the rest of the text."""
    server.script("sim-text", text="alpha beta gamma delta epsilon", pace_ms=1.0)
    server.put_agent("slow", "sim/sim-text")
    async with server.client() as http:
        async with http.post("/v1/agents/slow/runs", json={"input": "Hi", "stream": True}) as response:
            run = response.headers["x-request-id"]
            whole = await sse(response)
        for cut in range(len(whole)):
            seen = "".join(data["text"] for _, name, data in whole[: cut + 1] if name == "text.delta")
            headers = {"Last-Event-ID": whole[cut][0]}
            async with http.get(f"/v1/runs/{run}/events", headers=headers) as response:
                rest = await sse(response)
            text = "".join(data["text"] for _, name, data in rest if name == "text.delta")
            assert seen + text == "alpha beta gamma delta epsilon"
        async with http.get(f"/v1/runs/{run}/events", headers={"Last-Event-ID": "nonsense"}) as response:
            assert response.status == 400
            assert (await response.json())["field"] == "Last-Event-ID"


async def test_a_quiet_stream_is_kept_open_by_comments(server: Server) -> None:
    """While the model thinks, heartbeat comments come, which SSE readers ignore."""
    server.script("sim-text", text="late", first_token_ms=350.0)
    server.put_agent("slow", "sim/sim-text")
    body = {"input": "Hi", "stream": True}
    async with server.client() as http, http.post("/v1/agents/slow/runs", json=body) as response:
        text = await response.text()
    assert ": heartbeat\n\n" in text
    assert text.index(": heartbeat") < text.index("late")


@pytest.mark.parametrize(("policy", "outcome"), [("cancel", "cancelled"), ("continue", "completed")])
async def test_a_disconnect_is_a_policy(server: Server, policy: str, outcome: str) -> None:
    """A client that leaves a stream or a waiting request ends the run after the grace, or leaves it alone, as asked."""
    server.script("sim-text", tokens=30, pace_ms=30.0)
    server.put_agent("slow", "sim/sim-text")
    for stream in (True, False):
        body = {"input": "Hi", "on_disconnect": policy, "stream": stream}
        async with server.client() as http:
            if stream:
                response = await http.post("/v1/agents/slow/runs", json=body)
                await sse(response, "run.started")
                response.close()
            else:
                with pytest.raises(asyncio.TimeoutError):
                    async with asyncio.timeout(0.3):
                        await http.post("/v1/agents/slow/runs", json=body)
        async with server.client() as http, http.get("/v1/runs", params={"limit": 1}) as response:
            run = (await response.json())["data"][0]["run"]
        async with asyncio.timeout(30):
            while (await server.runtime.result("default", run)).state != "finished":
                await asyncio.sleep(0.02)
        assert (await server.runtime.result("default", run)).outcome == outcome


async def test_a_run_is_cancelled_with_its_text_kept(server: Server) -> None:
    """Cancelling answers with the finished run; who did it and why stand in the journal; again changes nothing."""
    server.script("sim-text", tokens=200, pace_ms=20.0)
    server.put_agent("slow", "sim/sim-text")
    async with server.client() as http:
        async with http.post("/v1/agents/slow/runs", json={"input": "Hi", "stream": True}) as stream:
            run = stream.headers["x-request-id"]
            await sse(stream, "text.delta")
            async with http.post(f"/v1/runs/{run}/cancel", json={"reason": "changed my mind"}) as response:
                result = await response.json()
            tail = await sse(stream)
        async with http.post(f"/v1/runs/{run}/cancel") as response:
            assert (await response.json())["outcome"] == "cancelled"
    assert (result["state"], result["outcome"]) == ("finished", "cancelled")
    assert result["text"]
    assert tail[-1][1] == "run.finished"
    events = await server.runtime.events("default", run, 0, 1000)
    requested = next(event for event in events if event.kind == "run.cancel_requested")
    assert b"changed my mind" in requested.body


async def test_runs_are_listed_in_pages_by_filter(server: Server) -> None:
    """Pages follow each other without gap or overlap, newest first; filters hold; unknown parameters are refused."""
    async with server.client() as http:
        made = []
        for number in range(5):
            async with http.post(
                RUNS, json={"input": f"Hello {number}", "conversation_id": f"c{number % 2}"}
            ) as response:
                made.append((await response.json())["run"])
        seen: list[str] = []
        before: dict[str, str] = {}
        while True:
            async with http.get("/v1/runs", params={"limit": 2, **before}) as response:
                page = await response.json()
            seen += [run["run"] for run in page["data"]]
            if page["next"] is None:
                break
            before = {"before": page["next"]}
        assert seen == made[::-1]
        async with http.get("/v1/runs", params={"conversation": "c1", "outcome": "completed"}) as response:
            assert [run["run"] for run in (await response.json())["data"]] == [made[3], made[1]]
        async with http.get("/v1/runs", params={"stat": "running"}) as response:
            assert response.status == 400
            assert "'state'" in (await response.json())["remedy"]
        async with http.get("/v1/runs?limit=1&limit=2") as response:
            assert (await response.json())["field"] == "limit"


async def test_asked_for_limits_hold(server: Server) -> None:
    """max_steps and deadline_s of a request end the run as partial, with what it has."""
    server.put_agent("loop", "sim/sim-loop")
    server.script("sim-text", tokens=200, pace_ms=50.0)
    server.put_agent("slow", "sim/sim-text")
    async with server.client() as http:
        async with http.post("/v1/agents/loop/runs", json={"input": "Hi", "max_steps": 2}) as response:
            capped = await response.json()
        async with http.post("/v1/agents/slow/runs", json={"input": "Hi", "deadline_s": 0.3}) as response:
            late = await response.json()
    assert (capped["outcome"], capped["reason"], capped["steps"]) == ("partial", "max_steps", 2)
    assert (late["outcome"], late["reason"]) == ("partial", "deadline")
    assert late["text"]


async def test_simulator_scripts_reach_no_other_provider(server: Server) -> None:
    """x-sim-* headers script the provider named `sim`; the request's own headers go nowhere else."""
    async with server.client() as http:
        headers = {"x-sim-script": '{"text": "scripted"}'}
        async with http.post(RUNS, json={"input": "Hi"}, headers=headers) as response:
            assert (await response.json())["text"] == "scripted"
        body = {"model": "sim/sim-text", "messages": [{"role": "user", "content": "Hi"}]}
        async with http.post("/v1/chat/completions", json=body, headers=headers) as response:
            assert (await response.json())["choices"][0]["message"]["content"] == "scripted"


async def test_draining_refuses_new_runs_and_tells_the_load_balancer(server: Server) -> None:
    """While draining: not ready, still live, new runs 503 with Retry-After, the open stream ends with its result."""
    server.script("sim-text", tokens=20, pace_ms=20.0)
    server.put_agent("slow", "sim/sim-text")
    async with server.client() as http:
        async with http.post("/v1/agents/slow/runs", json={"input": "Hi", "stream": True}) as stream:
            await sse(stream, "text.delta")
            draining = asyncio.ensure_future(server.runtime.drain(10))
            await asyncio.sleep(0)
            async with http.get("/health/ready") as response:
                assert response.status == 503
            async with http.get("/health/live") as response:
                assert response.status == 200
            async with http.post(RUNS, json=ORDER) as response:
                assert (response.status, response.headers["retry-after"]) == (503, "1")
                assert (await response.json())["code"] == "server.shutting_down"
            tail = await sse(stream)
        await draining
    assert tail[-1][2]["outcome"] == "completed"
