"""What is measured of each server, and how a load becomes a figure. Names of figures carry their unit."""

import json
import shutil
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from processes import Process, cores, free_port
from servers import AGENTS, HERE, STATE, Ask, Contender, Missing, Running

WHOLE = "sim-text?tokens=20"
BURST = "sim-text?tokens=200&burst=20"
BURST_EVENTS = 203
"""Role, 200 tokens, finish_reason, [DONE]."""
STAGES = (100, 500, 1_000, 2_000)
OPEN_CPU_AT = 500
"""Most runs open when the CPU of a paced token is taken: few enough that no server is at its limit."""
SETTLE_S = 3.0

Figures = dict[str, float]


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    seconds: float
    runs_alone: int
    stages: tuple[int, ...]
    starts: int


FULL = Effort(seconds=8.0, runs_alone=60, stages=STAGES, starts=9)
QUICK = Effort(seconds=2.0, runs_alone=15, stages=STAGES[:2], starts=3)


class Void(Exception):
    """A measurement with errors, which is no figure; the text tells the first."""


class Loader:
    """load.py in a process of its own, on the cores that are not the server's."""

    def __init__(self, ask: Ask, port: int, **scenario: Any) -> None:
        command = ["taskset", "-c", cores()[1], sys.executable, str(Path(__file__).with_name("load.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.say(json.dumps({**asdict(ask), "port": port, **scenario}))

    def say(self, line: str = "") -> None:
        """Sends a line."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """The next line.

        Raises:
            Void: there is none, or it tells errors.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise Void(f"the load generator ended with {self._process.wait()}")
        heard: dict[str, Any] = json.loads(line)
        if heard.get("errors"):
            raise Void("; ".join(f"{count} x {why}" for why, count in heard["errors"].items())[:400])
        return heard

    def __enter__(self) -> "Loader":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def load(server: Running, ask: Ask, **scenario: Any) -> tuple[dict[str, Any], float]:
    """One load, after a short warm-up of the same kind. Returns what was seen, and seconds of the server's CPU."""
    with Loader(ask, server.port, **{**scenario, "seconds": 0.5}) as warm:
        warm.hear()
    before = server.process.cpu_s()
    with Loader(ask, server.port, **scenario) as loader:
        heard = loader.hear()
    return heard, server.process.cpu_s() - before


def measure_chat(server: Running, effort: Effort) -> Figures:
    """The chat face: alone, at 50 clients, and 100 streams in bursts."""
    assert server.chat is not None
    found: Figures = {}
    whole = server.chat(WHOLE, False)
    heard, _ = load(server, whole, clients=1, seconds=effort.seconds / 2)
    found["chat_alone_p50_ms"] = heard["whole_ms"]["p50"]
    heard, cpu = load(server, whole, clients=50, seconds=effort.seconds)
    found["chat_cpu_us"] = cpu / heard["requests"] * 1e6
    found["chat_per_s"] = heard["requests"] / heard["wall_s"]
    found["chat_p99_ms"] = heard["whole_ms"]["p99"]
    stream = server.chat(BURST, True)
    heard, _ = load(server, stream, clients=1, seconds=effort.seconds / 4)
    found["stream_alone_first_ms"] = heard["first_ms"]["p50"]
    heard, cpu = load(server, stream, clients=100, seconds=effort.seconds)
    events = heard["requests"] * BURST_EVENTS
    if not 0.9 < heard["events"] / events < 1.1:  # a proxy's framing may run through the mark that is counted
        raise Void(f"{heard['events']} events were counted in {heard['requests']} streams of {BURST_EVENTS}")
    found["chunk_cpu_us"] = cpu / events * 1e6
    found["chunks_per_s"] = events / heard["wall_s"]
    return found


def measure_agent(server: Running, effort: Effort) -> Figures:
    """An agent run of 20 chunks x 10 ms: alone, and at 50 clients."""
    assert server.agent is not None
    found: Figures = {}
    ask = server.agent(AGENTS["paced"])
    heard, _ = load(server, ask, clients=1, requests=effort.runs_alone, seconds=60.0)
    found["agent_first_ms"] = heard["first_ms"]["p50"]
    heard, cpu = load(server, ask, clients=50, seconds=effort.seconds)
    found["run_cpu_ms"] = cpu / heard["requests"] * 1e3
    found["runs_per_s"] = heard["requests"] / heard["wall_s"]
    found["agent_50_first_ms"] = heard["first_ms"]["p50"]
    return found


def measure_tool(server: Running, effort: Effort) -> Figures:
    """The same with one tool call, which is carried out in a worker process (its CPU counts)."""
    assert server.agent is not None
    heard, cpu = load(server, server.agent(AGENTS["with-tool"]), clients=50, seconds=effort.seconds)
    return {"tool_run_cpu_ms": cpu / heard["requests"] * 1e3}


def measure_memory(server: Running, effort: Effort) -> Figures:
    """Resident memory of a server that has only just started."""
    idle = server.process.rss_kb()
    return {"idle_mb": sum(idle) / 1024, "idle_server_mb": idle[0] / 1024, "processes": float(len(idle))}


def measure_open(server: Running, effort: Effort) -> Figures:
    """Resident memory with ever more open runs at 5 tokens a second; CPU of a token, and how many tokens still came.

    A server that fails at a stage is measured at the last one that it reached.
    """
    assert server.agent is not None
    found: Figures = {}
    resident: dict[int, float] = {}
    with Loader(server.agent(AGENTS["held"]), server.port, stages=effort.stages) as loader:
        for stage in effort.stages:
            try:
                resident[stage] = _hold(server, loader, stage, found)
            except Void:
                if len(resident) < 2:
                    raise
                break
    first, last = min(resident), max(resident)
    found["stream_kb"] = (resident[last] - resident[first]) / (last - first)
    found["open_mb"] = resident[last] / 1024
    found["open_streams"] = float(last)
    return found


def _hold(server: Running, loader: Loader, stage: int, found: Figures) -> float:
    """Resident KB with `stage` runs open, and what came of their tokens meanwhile."""
    loader.hear()
    time.sleep(SETTLE_S)
    loader.say("?")
    events, cpu, began = loader.hear()["events"], server.process.cpu_s(), time.perf_counter()
    time.sleep(SETTLE_S)
    loader.say("?")
    events = loader.hear()["events"] - events
    cpu, wall = server.process.cpu_s() - cpu, time.perf_counter() - began
    found["open_tokens_per_s"] = events / wall
    if stage <= OPEN_CPU_AT:
        found["token_cpu_us"] = cpu / events * 1e6
    resident = sum(server.process.rss_kb())
    loader.say("next")
    return resident


def measure(contender: Contender, sim_port: int, effort: Effort) -> tuple[Figures, dict[str, str]]:
    """All that a server does; what could not be measured stands in the second, with the reason."""
    found: Figures = {}
    failed: dict[str, str] = {}
    for parts in (("memory", "open"), ("chat", "agent", "tool")):
        with ExitStack() as stack:
            try:
                server = stack.enter_context(contender.start(sim_port))
            except (Missing, OSError, RuntimeError) as error:
                return found, {"start": str(error)}
            for part in parts:
                if (part == "chat" and not server.chat) or (part in ("open", "agent", "tool") and not server.agent):
                    continue
                if part == "tool" and contender.name != "golive":
                    continue
                try:
                    found |= PARTS[part](server, effort)
                except (Void, OSError) as error:
                    failed[part] = str(error)
            if "open" in parts:
                server.process.kill()
    return found, failed


PARTS = {
    "memory": measure_memory,
    "open": measure_open,
    "chat": measure_chat,
    "agent": measure_agent,
    "tool": measure_tool,
}


def measure_provider(provider: Running, effort: Effort) -> Figures:
    """Asking the provider directly; what its own chunks cost."""
    found = measure_chat(provider, effort) | measure_agent(provider, effort)
    found["paced_chunk_cpu_us"] = found["run_cpu_ms"] * 1e3 / 23
    return found


def measure_starts(effort: Effort, golive: Path = HERE) -> Figures:
    """Seconds of `golive --help`, and of `golive dev` in a new project until it answers; medians."""
    command = str(golive)
    helps, devs = [], []
    for _ in range(effort.starts):
        began = time.perf_counter()
        subprocess.run([command, "--help"], check=True, capture_output=True)
        helps.append(time.perf_counter() - began)
    root = STATE / "run" / "starts"
    shutil.rmtree(root, ignore_errors=True)
    for number in range(effort.starts):
        folder = root / f"{time.time_ns()}-{number}"
        folder.mkdir(parents=True)
        subprocess.run([command, "new", "support"], cwd=folder, check=True, capture_output=True)
        toml = folder / "golive.toml"
        toml.write_text(toml.read_text().replace(":8090/", f":{free_port()}/"))
        port = free_port()
        began = time.perf_counter()
        with Process([command, "dev", "--port", str(port)], cpu="", log=folder / "log", cwd=folder) as process:
            process.wait_ready(port, "/health/live")
            devs.append(time.perf_counter() - began)
    return {"help_s": statistics.median(helps), "dev_s": statistics.median(devs)}
