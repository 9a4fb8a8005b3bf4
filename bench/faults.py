"""What users see while a provider fails: golive beside the LiteLLM proxy, both with a fallback configured.

    python bench/faults.py [--streams 100] [--write]

Two simulated providers, primary and backup, in processes of their own. Each server is asked for streamed chat
completions whose text is known to the letter: `--streams` at once in each wave, healthy, with the primary out (its
connections reset), and with every answer of the primary cut after ten tokens. Counted is what a client can tell: those
that came whole, that were passed off as whole and are not, that ended as broken, and the time to the
first token.
"""

import argparse
import asyncio
import contextlib
import json
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import report
from processes import Process, cores, free_port, json_output
from servers import PEERS, STATE, Missing, _package, _python

TEXT = "Your parcel left Ghent on Monday and will be with you on Thursday, between nine and noon. " * 4
QUESTION = "Where is my parcel?"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
LIMIT_S = 60.0
PACE_MS = 15.0
"""Between two tokens: a stream lasts longer than a wave takes to begin, so that all are open at once."""
SPREAD_S = 1.0
"""Over so long the streams of a wave begin. All in one instant would wait for each other's CPU, and hide what a failed
attempt adds."""
ROUNDS = 6
"""Healthy, out, healthy again: while a breaker learns, there is but one wave a round."""
FORGETS_S = 31.0
"""After so long breakers and cool-downs end, and the primary is asked again."""


@dataclass(frozen=True)
class Seen:
    """One stream as its client saw it: `how` is whole, false (passed off as whole), partial or error."""

    how: str
    first_s: float | None


@dataclass(frozen=True)
class Server:
    """A server under test: its port, key, and the model's name."""

    port: int
    key: str
    model: str


# ---- providers -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def provider() -> Iterator[int]:
    port = free_port()
    command = [sys.executable, "-m", "golive.sim", "--port", str(port)]
    with Process(command, cpu=cores()[1], log=STATE / "run" / f"provider-{port}.log") as process:
        process.wait_ready(port, "/v1/models")
        yield port


async def tell(session: aiohttp.ClientSession, port: int, method: str, path: str, body: object = None) -> None:
    async with session.request(method, f"http://127.0.0.1:{port}/sim/{path}", json=body) as answer:
        answer.raise_for_status()


async def script(session: aiohttp.ClientSession, port: int, **fields: object) -> None:
    wanted = {"text": TEXT, "pace_ms": PACE_MS, "prefill": "continue", **fields}
    await tell(session, port, "POST", "scripts", {"model": "*", "script": wanted})


# ---- servers ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def golive(primary: int, backup: int) -> Iterator[Server]:
    root = STATE / "run" / "golive-faults"
    shutil.rmtree(root, ignore_errors=True)
    agent = root / "agents" / "courier"
    agent.mkdir(parents=True)
    (root / "golive.toml").write_text(
        f'[providers.primary]\nbase_url = "http://127.0.0.1:{primary}/v1"\n'
        f'[providers.backup]\nbase_url = "http://127.0.0.1:{backup}/v1"\n'
        '[prices."*"]\ninput_usd_per_mtok = 1.0\noutput_usd_per_mtok = 4.0\n'
        '[capabilities."backup/*"]\nprefill = true\n'
    )
    (agent / "agent.toml").write_text(
        'name = "courier"\nversion = "1"\n[models.default]\nchain = ["primary/sim-text", "backup/sim-text"]\n'
    )
    (agent / "prompt.md").write_text("You know where parcels are.\n")
    command = str(Path(sys.executable).with_name("golive"))
    made = json_output([command, "keys", "create", "--name", "bench", "--json"], cwd=root)
    port = free_port()
    with Process([command, "serve", "--port", str(port)], cpu=cores()[0], log=root / "log", cwd=root) as process:
        process.wait_ready(port, "/health/ready")
        yield Server(port, made["key"], "courier")


LITELLM = """
model_list:
  - model_name: primary
    litellm_params: {{model: openai/sim-text, api_base: "http://127.0.0.1:{primary}/v1", api_key: sk-x}}
  - model_name: backup
    litellm_params: {{model: openai/sim-text, api_base: "http://127.0.0.1:{backup}/v1", api_key: sk-x}}
router_settings:
  num_retries: 0
  fallbacks: [{{"primary": ["backup"]}}]
  allowed_fails: 5
  cooldown_time: 30
litellm_settings: {{telemetry: false, set_verbose: false}}
general_settings: {{master_key: sk-bench, disable_spend_logs: true}}
"""


@contextlib.contextmanager
def litellm(primary: int, backup: int) -> Iterator[Server]:
    python, port, run = _python("litellm"), free_port(), STATE / "run" / "litellm-faults"
    run.mkdir(parents=True, exist_ok=True)
    (run / "config.yaml").write_text(LITELLM.format(primary=primary, backup=backup))
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    command = [str(Path(python).with_name("litellm")), "--config", str(run / "config.yaml"), "--host", "127.0.0.1",
               "--port", str(port), "--num_workers", "1", "--telemetry", "False"]  # fmt: skip
    with Process(command, cpu=cores()[0], log=run / "log", cwd=run, env=env) as process:
        process.wait_ready(port, "/health/liveliness")
        yield Server(port, "sk-bench", "primary")


# ---- clients ---------------------------------------------------------------------------------------------------------


async def stream(session: aiohttp.ClientSession, server: Server) -> Seen:
    """One streamed chat completion, read to its end."""
    body = {"model": server.model, "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    headers = {"Authorization": f"Bearer {server.key}"}
    text, reason, done, broken = "", None, False, False
    began, first = time.perf_counter(), None
    try:
        async with session.post(
            f"http://127.0.0.1:{server.port}/v1/chat/completions", json=body, headers=headers,
            timeout=aiohttp.ClientTimeout(total=LIMIT_S),
        ) as answer:  # fmt: skip
            broken = answer.status != 200
            async for raw in answer.content:
                line = raw.decode().strip()
                if not line.startswith("data:"):
                    continue
                if line.endswith("[DONE]"):
                    done = True
                    continue
                chunk = json.loads(line[5:])
                broken = broken or "error" in chunk
                for choice in chunk.get("choices", ()):
                    piece = (choice.get("delta") or {}).get("content") or ""
                    if piece and first is None:
                        first = time.perf_counter() - began
                    text += piece
                    reason = choice.get("finish_reason") or reason
    except (aiohttp.ClientError, TimeoutError, ValueError):
        broken = True
    claims = done and reason == "stop" and not broken
    if text == TEXT and claims:
        return Seen("whole", first)
    if claims:
        return Seen("false", first)
    return Seen("partial" if reason == "length" else "error", first)


async def wave(session: aiohttp.ClientSession, server: Server, streams: int) -> list[Seen]:
    tasks = []
    for _ in range(streams):
        tasks.append(asyncio.ensure_future(stream(session, server)))
        await asyncio.sleep(SPREAD_S / streams)
    return [await task for task in tasks]


async def refused(port: int) -> float:
    """Seconds that one connect to a port takes which nobody listens on: p95 of 50."""
    times = []
    for _ in range(50):
        began = time.perf_counter()
        with contextlib.suppress(OSError):
            await asyncio.open_connection("127.0.0.1", port)
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.01)
    return _p95(sorted(times))


async def measure(server: Server, primary: int, backup: int, streams: int) -> dict[str, list[Seen]]:
    """All waves of one server."""
    found: dict[str, list[Seen]] = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        for port in (primary, backup):
            await script(session, port)
        await wave(session, server, 5)
        found |= {name: [] for name in ("healthy", "primary out, learning", "primary out, after")}
        for _ in range(ROUNDS):
            found["healthy"] += await wave(session, server, streams)
            await tell(session, primary, "POST", "outage", {"kind": "refuse"})
            found["primary out, learning"] += await wave(session, server, streams)
            found["primary out, after"] += await wave(session, server, streams)
            await tell(session, primary, "DELETE", "outage")
            await asyncio.sleep(FORGETS_S)
            for _ in range(5):  # one after the other: a breaker that is half-open lets single probes through
                await stream(session, server)
        await script(session, primary, cut_after=10, cut="reset")
        found["cut after 10 tokens"] = await wave(session, server, streams)
    return found


def table(found: dict[str, dict[str, list[Seen]]]) -> str:
    lines = ["| | " + " | ".join(found) + " |", "|---|" + "---|" * len(found)]
    waves = list(next(iter(found.values())))
    for name in waves:
        for how, words in (
            ("whole", "answered whole"), ("false", "passed off as whole, and not"), ("partial", "ended as a part"),
            ("error", "ended as an error"),
        ):  # fmt: skip
            counts = [sum(seen.how == how for seen in waves_of[name]) for waves_of in found.values()]
            if how == "whole" or any(counts):
                shares = [f"{count / len(next(iter(found.values()))[name]):.1%}" for count in counts]
                lines.append(f"| {name}: {words} | " + " | ".join(shares) + " |")
        times = [sorted(seen.first_s for seen in one[name] if seen.first_s is not None) for one in found.values()]
        cells = [f"{statistics.median(each) * 1e3:.1f}, {_p95(each) * 1e3:.1f}" if each else "-" for each in times]
        lines.append(f"| {name}: time to first token p50, p95, ms | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _p95(values: list[float]) -> float:
    return values[min(int(len(values) * 0.95), len(values) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=100, help="streams at once (default 100)")
    parser.add_argument("--write", action="store_true", help="write the table into bench/README.md")
    options = parser.parse_args()
    found: dict[str, dict[str, list[Seen]]] = {}
    for name, start in (("golive", golive), ("LiteLLM", litellm)):
        with provider() as primary, provider() as backup:
            try:
                with start(primary, backup) as server:
                    found[name] = asyncio.run(measure(server, primary, backup, options.streams))
            except Missing as missing:
                print(f"{name}: {missing}", file=sys.stderr)
    version = _package("litellm", "litellm")() if "LiteLLM" in found else "not installed"
    at = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    head = f"Measured {at} UTC with `python bench/faults.py --streams {options.streams}`; LiteLLM {version}."
    connect_ms = asyncio.run(refused(free_port())) * 1e3
    told = f"{head} One refused connect took {connect_ms:.1f} ms here (p95).\n\n{table(found)}\n"
    print(told)
    if options.write:
        report.put(BEGIN, END, told)


if __name__ == "__main__":
    assert PEERS.exists()
    main()
