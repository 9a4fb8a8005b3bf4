"""The server process dies, in a crash or in order: what was accepted has an end, what was shown can be gone on from."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from golive.core.tasks import Tasks
from tests.e2e.gateway_kit import sse
from tests.e2e.process_kit import RUNS, Project, golive, project, whole

TOOLS = '''
import os, time


def slow(seconds: float) -> str:
    """Takes its time."""
    print("sleeping")
    time.sleep(seconds)
    return "slept"


def pid() -> int:
    """The worker's process id."""
    return os.getpid()
'''


def text_of(events: list[tuple[str, str, Any]]) -> str:
    return "".join(data["text"] for _, name, data in events if name == "text.delta")


async def until_it_breaks(response: aiohttp.ClientResponse) -> list[tuple[str, str, Any]]:
    """The events of a stream whose server is killed."""
    events: list[tuple[str, str, Any]] = []
    try:
        while event := await sse(response, "text.delta"):
            events += event
            if event[-1][1] == "run.finished":
                break
    except aiohttp.ClientError:
        pass
    return events


@pytest.mark.parametrize(
    "after_s", [0.4, *(pytest.param(after, marks=pytest.mark.long) for after in (0.0, 0.1, 0.2, 0.7, 1.0, 1.6))]
)
async def test_kill_9_in_the_middle_of_streams(tmp_path: Path, after_s: float) -> None:
    """After SIGKILL and a restart every accepted run goes on to its end, and a client that comes back, from its last
    event or from any before, has the whole text: what the crash took, or another answer replaced, it is told of."""
    async with project(tmp_path) as served:
        served.environ["GOLIVE_SERVER__DISCONNECT_GRACE_S"] = "20"
        served.script("sim-talk", tokens=300, pace_ms=8)
        await served.serve()
        seen: dict[str, list[tuple[str, str, Any]]] = {}
        accepted: list[str] = []
        async with served.client() as http, Tasks("clients") as clients:

            async def follow(number: int) -> None:
                body = {"input": "Hi", "stream": True}
                if number % 3 == 0:
                    body["conversation_id"] = f"c{number % 2}"  # some wait for their turn
                response = await http.post(RUNS, json=body)
                accepted.append(response.headers["x-request-id"])
                seen[response.headers["x-request-id"]] = await until_it_breaks(response)

            async def leave(number: int) -> None:
                async with http.post(RUNS, json={"input": "Hi", "background": True}) as response:
                    accepted.append((await response.json())["run"])

            for number in range(12):
                clients.start(follow(number), "follow")
                clients.start(leave(number), "leave")
            while len(accepted) < 24:
                await asyncio.sleep(0.01)
            await asyncio.sleep(after_s)
            await served.kill()
        assert len(seen) == 12
        await served.serve()
        async with served.client() as http, Tasks("clients again") as clients:
            told = {run: clients.start(comes_back(http, run, events), run) for run, events in seen.items()}
        taken = [line["count"] for line in served.log() if line["event"] == "runs.taken_over"]
        assert sum(taken) == 24
        async with served.client() as http:
            for run in accepted:
                async with http.get(f"/v1/runs/{run}/events") as response:
                    await sse(response)
                async with http.get(f"/v1/runs/{run}") as response:
                    result = await response.json()
                assert (result["state"], result["outcome"]) == ("finished", "completed"), result["reason"]
                assert result["text"]
                if run in told:
                    assert told[run].result() == [result["text"]] * len(told[run].result())
            async with http.post(RUNS, json={"input": "Hi", "conversation_id": "c0", "max_steps": 1}) as response:
                assert (await response.json())["outcome"] == "completed", "the conversation is not stuck"


async def comes_back(http: aiohttp.ClientSession, run: str, events: list[tuple[str, str, Any]]) -> list[str]:
    """A client that lost its connection resumes, from its last event and from some before: the texts that it has."""
    texts = []
    for cut in sorted({len(events), len(events) // 2, min(1, len(events))}, reverse=True):
        headers = {"Last-Event-ID": events[cut - 1][0]} if cut else {}
        async with http.get(f"/v1/runs/{run}/events", headers=headers) as response:
            rest = await sse(response)
        assert [name for _, name, _ in rest][-1] == "run.finished"
        texts.append(whole(events[:cut] + rest))
    return texts


async def test_sigterm_lets_work_finish(tmp_path: Path) -> None:
    """Streams end whole, tools return, new runs are refused meanwhile, and the process ends with 0."""
    async with project(tmp_path) as served:
        served.script("sim-talk", tokens=30, pace_ms=25)
        served.agent("works", "sim-works", tools=TOOLS)
        served.script(
            "sim-works", turns=({"tool_calls": [{"name": "slow", "arguments": {"seconds": 0.6}}]}, {"text": "Done."})
        )
        await served.serve()
        async with served.client() as http:
            stream = await http.post(RUNS, json={"input": "Hi", "stream": True})
            works = await http.post("/v1/agents/works/runs", json={"input": "Hi", "stream": True})
            await sse(stream, "text.delta")
            await sse(works, "tool.started")
            assert served.process is not None
            served.process.terminate()
            async with asyncio.timeout(30):
                while True:
                    async with http.get("/health/ready") as ready:
                        if ready.status == 503:
                            break
            async with http.post(RUNS, json={"input": "Hi"}) as refused:
                assert (refused.status, (await refused.json())["code"]) == (503, "server.shutting_down")
            assert (await sse(stream))[-1][2]["outcome"] == "completed"
            assert (await sse(works))[-1][2]["text"] == "Done."
        async with asyncio.timeout(30):
            assert await served.process.wait() == 0


async def test_sigterm_lets_load_balancers_go_first(tmp_path: Path) -> None:
    """For server.linger_s readiness says no, and whoever comes all the same is served."""
    async with project(tmp_path) as served:
        served.environ["GOLIVE_SERVER__LINGER_S"] = "4"
        await served.serve()
        async with served.client() as http:
            assert served.process is not None
            served.process.terminate()
            async with asyncio.timeout(30):  # what shows that it lingers is the answer below
                while True:
                    async with http.get("/health/ready") as ready:
                        if ready.status == 503:
                            break
            async with http.post(RUNS, json={"input": "Hi"}) as response:
                assert (response.status, (await response.json())["outcome"]) == (200, "completed")
        async with asyncio.timeout(30):
            assert await served.process.wait() == 0


async def test_what_outlasts_the_drain_is_handed_over(tmp_path: Path) -> None:
    """Who follows it is told so; the next server goes on with it at once, and the client has one whole text."""
    async with project(tmp_path) as served:
        served.environ |= {"GOLIVE_SERVER__DRAIN_S": "0.3", "GOLIVE_SERVER__DISCONNECT_GRACE_S": "20"}
        served.script("sim-talk", tokens=120, pace_ms=25)
        await served.serve()
        async with served.client() as http:
            stream = await http.post(RUNS, json={"input": "Hi", "stream": True})
            run = stream.headers["x-request-id"]
            events = await sse(stream, "text.delta")
            assert served.process is not None
            served.process.terminate()
            events += await sse(stream)
            async with asyncio.timeout(30):
                assert await served.process.wait() == 0
        *events, (_, name, data) = events
        assert (name, data["code"]) == ("error", "server.shutting_down")
        await served.serve()
        async with served.client() as http:
            headers = {"Last-Event-ID": events[-1][0]}
            async with http.get(f"/v1/runs/{run}/events", headers=headers) as response:
                events += await sse(response)
        end = events[-1][2]
        assert (end["outcome"], end["text"]) == ("completed", whole(events))
        assert [line["runs"] for line in served.log() if line["event"] == "runs.taken_over"] == [[run]]


async def test_a_second_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    """Whoever cannot wait signals again: each open run is let go of, whatever it is at, and who follows it is told so
    before the connection closes; plain calls end as interrupted. No traceback, exit code 0."""
    async with project(tmp_path) as served:
        served.environ["GOLIVE_SERVER__DRAIN_S"] = "600"
        served.script("sim-talk", tokens=100_000, pace_ms=25)
        served.agent("works", "sim-works", tools=TOOLS)
        served.script("sim-works", turns=({"tool_calls": [{"name": "slow", "arguments": {"seconds": 600}}]},))
        await served.serve()
        async with served.client() as http:
            body = {"input": "Hi", "stream": True, "conversation_id": "c"}
            talks = await http.post(RUNS, json=body)
            waits = await http.post(RUNS, json=body)
            works = await http.post("/v1/agents/works/runs", json={"input": "Hi", "stream": True})
            chat = {"model": "talk", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
            chats = await http.post("/v1/chat/completions", json=chat)
            plain = chat | {"model": "sim/sim-talk"}
            relayed = await http.post("/v1/chat/completions", json=plain)
            whole = asyncio.ensure_future(http.post("/v1/chat/completions", json=plain | {"stream": False}))
            await sse(talks, "text.delta")
            await sse(waits, "run.accepted")
            await sse(works, "tool.started")
            async with asyncio.timeout(30):
                while len(served.sent()) < 5:  # all but the one that waits for its turn
                    await asyncio.sleep(0.02)
            assert served.process is not None
            served.process.terminate()
            async with asyncio.timeout(30):
                while not any(line["event"] == "server.draining" for line in served.log()):
                    await asyncio.sleep(0.02)
            served.process.terminate()
            ends = [(await sse(stream))[-1] for stream in (talks, waits, works)]
            said, plainly = await chats.text(), await relayed.text()
            refused = await whole
            told = await refused.json()
            async with asyncio.timeout(30):
                assert await served.process.wait() == 0
        assert [(name, data["code"]) for _, name, data in ends] == [("error", "server.shutting_down")] * 3
        assert '"code":"server.shutting_down"' in said.splitlines()[-2]
        assert '"code":"server.shutting_down"' in plainly.splitlines()[-2]
        assert "[DONE]" not in said + plainly
        assert (refused.status, told["error"]["code"]) == (503, "server.shutting_down")
        assert "Traceback" not in served.log_path.read_text()
        await served.serve()
        async with served.client() as http, http.get("/v1/runs") as response:
            runs = (await response.json())["data"]
        calls = [run for run in runs if run["source"] == "relay"]
        assert [(run["outcome"], run["reason"]) for run in calls] == [("failed", "interrupted")] * 2
        assert all(run["priced"] and run["cost_microusd"] and run["estimated"] for run in calls)
        async with asyncio.timeout(30):
            while not (taken := [line["count"] for line in served.log() if line["event"] == "runs.taken_over"]):
                await asyncio.sleep(0.02)
        assert sum(taken) == len(runs) - len(calls) == 4


async def test_kill_9_of_a_worker_in_mid_call(tmp_path: Path) -> None:
    """The call failed and the model is told; the run goes on to its end, and the next call meets a new worker."""
    async with project(tmp_path) as served:
        served.agent("works", "sim-works", tools=TOOLS)
        call = {"tool_calls": [{"name": "slow", "arguments": {"seconds": 60}}]}
        served.script("sim-works", turns=(call, {"text": "I could not."}))
        await served.serve()
        before = {line["pid"] for line in served.log() if line["event"] == "worker.started"}
        async with served.client() as http:
            stream = await http.post("/v1/agents/works/runs", json={"input": "Hi", "stream": True})
            await sse(stream, "tool.started")
            async with asyncio.timeout(30):  # a call that its worker had not begun would be carried out by the next
                while not any(line["event"] == "worker.printed" for line in served.log()):
                    await asyncio.sleep(0.02)
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            events = await sse(stream)
            finished = next(data for _, name, data in events if name == "tool.finished")
            assert (finished["ok"], finished["error_code"]) == (False, "tool.worker_crashed")
            assert (events[-1][2]["outcome"], events[-1][2]["text"]) == ("completed", "I could not.")
            served.script("sim-works", turns=({"tool_calls": [{"name": "pid"}]}, {"text": "Done."}))
            async with http.post("/v1/agents/works/runs", json={"input": "Hi"}) as response:
                run = (await response.json())["run"]
            async with http.get(f"/v1/runs/{run}/events?format=json") as response:
                bodies = [
                    event["body"] for event in (await response.json())["data"] if event["kind"] == "tool.finished"
                ]
        assert bodies[0]["ok"]
        assert int(bodies[0]["content"]) not in before


async def test_no_worker_outlives_its_server(tmp_path: Path) -> None:
    """kill -9 of the server in the middle of a tool's call leaves no process behind."""
    async with project(tmp_path) as served:
        served.agent("works", "sim-works", tools=TOOLS)
        served.script(
            "sim-works", turns=({"tool_calls": [{"name": "slow", "arguments": {"seconds": 60}}]}, {"text": "x"})
        )
        await served.serve()
        workers = workers_of(served)
        assert workers
        async with served.client() as http:
            stream = await http.post("/v1/agents/works/runs", json={"input": "Hi", "stream": True})
            await sse(stream, "tool.started")
            await served.kill()
        async with asyncio.timeout(30):
            while any(Path(f"/proc/{pid}/cmdline").exists() and not zombie(pid) for pid in workers):
                await asyncio.sleep(0.02)


def workers_of(served: Project) -> set[int]:
    return {line["pid"] for line in served.log() if line["event"] == "worker.started"}


def zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_a_command_whose_server_dies_says_so(tmp_path: Path) -> None:
    """`golive run` in the middle of an answer: what came stands on standard output, then one message, no traceback."""
    async with project(tmp_path) as served:
        served.script("sim-talk", tokens=1_000, pace_ms=10)
        await served.serve()
        async with Tasks("command") as tasks:
            command = tasks.start(
                golive(tmp_path, "run", "talk", "Hi", "--url", served.url, "--key", served.key), "golive run"
            )
            async with served.client() as http, asyncio.timeout(20):
                while True:
                    async with http.get("/v1/runs?state=running") as response:
                        running = (await response.json())["data"]
                    if running:
                        break
                    await asyncio.sleep(0.05)
                await asyncio.sleep(0.5)
            await served.kill()
        code, out, err = command.result()
    assert code == 1, err
    assert out.strip()
    assert "Traceback" not in err
    assert err.count("error: ") == 1
    assert running[0]["run"] in err or "golive runs" in err, "how to go on"
