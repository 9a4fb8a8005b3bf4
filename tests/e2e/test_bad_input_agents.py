"""Agents that cannot be served, and tools that misbehave in a real worker: told in the right place, nothing is lost."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process_kit import AGENT, Project, project

HOSTILE = '''
import os, signal, sys, threading, time, asyncio


class Strange:
    """Nothing JSON knows."""


def raises() -> str:
    """Raises."""
    raise LookupError("no such order: 42")


def strange() -> object:
    """Returns what cannot be written."""
    return {"deep": [Strange()]}


def endless_text() -> str:
    """Returns more than is allowed."""
    return "x" * 5_000_000


def hangs() -> str:
    """Never returns."""
    threading.Event().wait()


async def hangs_async() -> str:
    """Never returns, and does not hear that it is cancelled."""
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


def exits() -> str:
    """Ends the process, politely."""
    sys.exit(3)


def prints() -> str:
    """Prints megabytes, with and without lines."""
    print("y" * 8_000_000)
    sys.stderr.write("z\\n" * 2_000_000)
    return "printed"


def fine(n: int = 1) -> int:
    """Works."""
    return n


def dies() -> str:
    """Kills its process."""
    os.kill(os.getpid(), signal.SIGKILL)


def dies_hard() -> str:
    """Leaves without a word."""
    os._exit(9)


def overflows() -> str:
    """Breaks the interpreter."""
    import ctypes
    ctypes.string_at(0)
'''
SETTINGS = """
[tools.hangs]
timeout_s = 0.5
[tools.hangs_async]
timeout_s = 0.5
[limits]
max_tool_result_bytes = 1000
"""


async def results(served: Project, *names: str) -> dict[str, Any]:
    """One run whose model calls these tools at once: the outcome of each; the run must complete."""
    turn = {"tool_calls": [{"name": name} for name in names]}
    served.script("sim-works", turns=(turn, {"text": "I see."}))
    async with served.client() as http:
        async with http.post("/v1/agents/works/runs", json={"input": "Hi"}) as response:
            result = await response.json()
        assert (result["outcome"], result["text"]) == ("completed", "I see."), result
        async with http.get(f"/v1/runs/{result['run']}/events?format=json") as response:
            events = (await response.json())["data"]
    return {event["body"]["name"]: event["body"] for event in events if event["kind"] == "tool.finished"}


async def test_hostile_tools(tmp_path: Path) -> None:
    """Each way a tool can fail is a failed call with its own code and words; calls beside it and after it work."""
    async with project(tmp_path) as served:
        served.agent("works", "sim-works", tools=HOSTILE, more=SETTINGS)
        await served.serve()
        side_by_side = ("raises", "strange", "endless_text", "hangs", "hangs_async", "exits", "prints", "fine")
        told = await results(served, *side_by_side)
        assert {name: told[name].get("error_code") for name in side_by_side} == {
            "raises": "tool.raised", "strange": "tool.result_invalid", "endless_text": "tool.result_invalid",
            "hangs": "tool.timeout", "hangs_async": "tool.timeout", "exits": "tool.raised",
            "prints": None, "fine": None,
        }  # fmt: skip
        assert "no such order: 42" in told["raises"]["content"]
        assert "Traceback" not in told["raises"]["content"]
        assert "Strange" in told["strange"]["content"]
        assert "tools.hangs.timeout_s" in told["hangs"]["content"]
        assert (told["prints"]["content"], told["fine"]["content"]) == ("printed", "1")
        for name in ("dies", "dies_hard", "overflows"):
            told = await results(served, name)
            assert told[name]["error_code"] == "tool.worker_crashed", name
            assert (await results(served, "fine"))["fine"]["content"] == "1", f"after {name}"
        log = served.log()
        raised = next(line for line in log if line["event"] == "tool.raised" and line["tool"] == "raises")
        assert (raised["error"], raised["at"].split(":")[0]) == ("LookupError", "tools.py"), "type and place"
        assert not any("no such order" in text or "yyyyyy" in text for text in served.log_path.read_text().splitlines())
        printed = [line for line in log if line["event"] == "worker.printed"]
        assert len(printed) < 2_000
        assert sum(line["lines"] for line in log if line["event"] == "worker.output_dropped") > 1_000_000
        assert served.log_path.stat().st_size < 3_000_000
        assert await served.stop() == 0


LEAKY = '''
import os, pathlib


def reads_the_pepper() -> str:
    """Raises what it must not tell."""
    raise RuntimeError(pathlib.Path(os.environ["PEPPER_FILE"]).read_text())


def uses_a_key() -> str:
    """Raises what it was given."""
    raise PermissionError(f"401 for {os.environ['SHOP_KEY']}")
'''


async def test_secrets_that_a_tool_raises_stay_here(tmp_path: Path) -> None:
    """golive's own secrets and those handed to the tool reach neither model, client, journal nor log; the type and the
    rest of the message reach the model, the traceback the log where content may stand there."""
    async with project(tmp_path) as served:
        served.environ |= {"SHOP_KEY": "zebra-umbrella-7", "PEPPER_FILE": str(tmp_path / ".golive/pepper")}
        served.environ["GOLIVE_LOG__CONTENT"] = "true"
        env = '[worker]\nenv = ["SHOP_KEY", "PEPPER_FILE"]\n'
        served.agent("leaky", "sim-leaky", tools=LEAKY, more=env)
        await served.serve()
        uses = [{"name": "reads_the_pepper"}, {"name": "uses_a_key"}]
        served.script("sim-leaky", turns=[{"tool_calls": uses}, {"text": "Done."}])
        async with served.client() as http:
            async with http.post("/v1/agents/leaky/runs", json={"input": "go"}) as answer:
                run = (await answer.json())["run"]
            async with http.get(f"/v1/runs/{run}/events?format=json") as answer:
                journal = await answer.text()
        await served.stop()
        pepper = (tmp_path / ".golive/pepper").read_text().strip()
        log = served.log_path.read_text()
        assert "RuntimeError: [redacted]" in journal
        assert "PermissionError: 401 for [redacted]" in journal
        assert "RuntimeError: [redacted]" in str(served.sent()[-1])
        for secret in (pepper, "zebra-umbrella-7"):
            assert secret not in journal + log + str(served.sent())
        assert "Traceback" not in journal
        assert log.count("Traceback (most recent call last)") == 2


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("tools.py", "def f(:\n", ("tools.py:1", "SyntaxError")),
        ("tools.py", "import a_module_nobody_has\n", ("tools.py:1", "a_module_nobody_has")),
        ("tools.py", "import sys\nsys.exit(3)\n", ("tools.py:2", "Do not end the process")),
        ("tools.py", "import os\nprint('bye', flush=True)\nos._exit(3)\n", ("ended while it loaded", "3")),
        ("tools.py", "import time\ntime.sleep(60)\n", ("not ready within 1 s", "worker.start_s")),
        ("prompt.md", None, ("prompt.md",)),
        ("agent.toml", "name = ", ("agent.toml", "TOML")),
        (
            "agent.toml",
            AGENT.format(name="works", model="m").replace("sim/", "simm/"),
            ("simm", "Did you mean `sim/m`"),
        ),
    ],
)
async def test_an_agent_that_cannot_be_served_is_told_at_the_start(
    tmp_path: Path, file: str, content: str | bytes | None, words: tuple[str, ...]
) -> None:
    """One message with file, line and remedy, exit code 1, no traceback; nothing of the agent is registered."""
    async with project(tmp_path) as served:
        folder = served.agent("works", "sim-works", tools="def f() -> None: ...\n", more="[worker]\nstart_s = 1\n")
        (folder / file).unlink()
        if content is not None:
            (folder / file).write_bytes(content.encode() if isinstance(content, str) else content)
        process = await served.spawn()
        async with asyncio.timeout(20):
            assert await process.wait() == 1
        told = [line for line in served.log_path.read_text().splitlines() if not line.startswith("{")]
        assert told[0].startswith("error: ")
        assert "Traceback" not in "\n".join(told)
        for word in words:
            assert word in "\n".join(told)


async def test_a_version_that_never_served_is_free(tmp_path: Path) -> None:
    """A typo in tools.py at the first start does not use the version's name up: corrected, it serves."""
    async with project(tmp_path) as served:
        folder = served.agent("works", "sim-works", tools="def f(:\n")
        process = await served.spawn()
        async with asyncio.timeout(20):
            assert await process.wait() == 1
        (folder / "tools.py").write_text("def f() -> None: ...\n")
        await served.serve()
        assert await served.stop() == 0
        (folder / "tools.py").write_text("def g() -> None: ...\n")
        process = await served.spawn()
        async with asyncio.timeout(20):
            assert await process.wait() == 1
        assert "registered with other content" in served.log_path.read_text()
