"""What a kill costs: golive beside Agno and Pydantic AI, killed with SIGKILL at the same points.

    python bench/durable.py [--runs 100] [--only golive …] [--write]

Pydantic AI stands alone, and with DBOS under it. The same small agent everywhere: it pays, it mails, it answers, in
three calls to the simulated provider. Each contender runs in the durable way that its documentation shows, is killed
with all its processes, and is started again; then it has half a minute. Where its documentation asks somebody to take
up the run again, that is done then. Counted is what the outside world saw, what the user gets in the end, and,
without kills, CPU a run.
"""

import argparse
import atexit
import contextlib
import json
import os
import shutil
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import report
from durable_world import World
from processes import Process, cores, free_port, json_output
from servers import HERE, PEERS, PROMPT, ROOT, STATE, Missing, _package, _python, provider

sys.path.insert(0, str(ROOT))
from tests.postgres_kit import PostgresServer

TEXT = (
    "Your order left Ghent on Monday; the carrier has it since noon. You will find the receipt in your mail, a copy "
    "lies with the warehouse, and whoever opens the door on Thursday has to sign for two parcels. We open at nine on "
    "weekdays, at ten on Saturdays, and never before a kettle has boiled. Lanterns stand in the second aisle; wicks, "
    "oil and spare glass are kept behind the counter. Whatever broke on its way is replaced within a month. Thank you."
)
SCRIPT = {
    "prefill": "continue",
    "turns": [
        {"tool_calls": [{"name": "pay"}]},
        {"tool_calls": [{"name": "mail"}]},
        {"text": TEXT, "pace_ms": 10},
    ],
}
CALLS = 3
"""Calls to the model that a run needs."""
STEPS = 5
"""These and the calls of its two tools: what durability keeps of a run."""
BY_ITSELF_S = 30.0
TAKEN_UP_S = 20.0
POINTS = (
    ("pay", "begun", "the payment begun, nothing sent"),
    ("pay", "do", "paid, the result not recorded"),
    ("mail", "do", "mailed, the result not recorded"),
    ("", "", "in the middle of the answer"),
)
BEGIN, END = "<!-- durable: begin -->", "<!-- durable: end -->"

GOLIVE_TOOLS = '''"""Tools of the bench."""

from durable_tools import act, ask

from golive.tools.context import ToolContext


def pay(ctx: ToolContext) -> str:
    """Pays for the order."""
    return act("pay", ctx.idempotency_key)


def mail(ctx: ToolContext) -> str:
    """Mails the receipt."""
    return act("mail", ctx.idempotency_key)


def mail_status(ctx: ToolContext) -> str | None:
    """Whether the receipt was mailed."""
    return "mailed before" if ask("mail", ctx.idempotency_key, "look")["done"] else None
'''


@dataclass(frozen=True)
class Asked:
    """How a run is begun, looked at and, where somebody must, taken up again, over HTTP."""

    begin: Callable[[], str]
    show: Callable[[str], tuple[str, str]]
    """State ("completed" when done, "lost" when unknown) and text."""
    take_up: Callable[[str], None] | None = None


Start = Callable[[int, str, int, Path], Process]


@dataclass(frozen=True)
class Contender:
    """`start(port, sim, world, state)` gives the command's process; `ready` is the path that answers 200."""

    name: str
    way: str
    version: Callable[[], str]
    start: Start
    ready: str
    asked: Callable[[int, Path], Asked]
    without: Start | None = None
    """The same without its durable way, where it can be without."""


@dataclass
class Seen:
    """What became of one kill."""

    asked: dict[str, int] = field(default_factory=dict)
    begun: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    state: str = ""
    """How it stands at last, in the contender's own word."""
    ended: str = "no"
    """by itself, when taken up, or no."""
    text: str = ""
    calls: int = 0
    after_s: float = 0.0
    """From the restarted server's readiness to the end."""


def http(url: str, method: str = "GET", body: object = None, form: dict[str, str] | None = None,
         headers: dict[str, str] | None = None) -> Any:  # fmt: skip
    """One request; its JSON."""
    data, kind = None, {}
    if form is not None:
        parts = "".join(f'--b\r\ncontent-disposition: form-data; name="{k}"\r\n\r\n{v}\r\n' for k, v in form.items())
        data, kind = (parts + "--b--\r\n").encode(), {"content-type": "multipart/form-data; boundary=b"}
    elif body is not None:
        data, kind = json.dumps(body).encode(), {"content-type": "application/json"}
    request = urllib.request.Request(url, data=data, method=method, headers=kind | (headers or {}))
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read() or b"null")


# ---- contenders ------------------------------------------------------------------------------------------------------


def _golive_start(port: int, sim: str, world: int, state: Path) -> Process:
    if not (state / "golive.toml").exists():
        agent = state / "agents" / "clerk"
        agent.mkdir(parents=True)
        (state / "golive.toml").write_text(
            f'[providers.sim]\nbase_url = "{sim}/v1"\n[prices."sim/*"]\ninput_usd_per_mtok = 1.0\n'
            'output_usd_per_mtok = 4.0\n[capabilities."sim/*"]\nprefill = true\n'
        )
        (agent / "agent.toml").write_text(
            'name = "clerk"\nversion = "1"\n[models.default]\nchain = ["sim/sim-clerk"]\n'
            '[tools.pay]\nidempotent = true\n[tools.mail]\nstatus = "mail_status"\n[worker]\nenv = ["WORLD_PORT"]\n'
        )
        (agent / "prompt.md").write_text(PROMPT)
        (agent / "tools.py").write_text(GOLIVE_TOOLS)
        shutil.copy(PEERS / "durable_tools.py", agent)
        made = json_output([str(HERE), "keys", "create", "--name", "bench", "--json"], cwd=state)
        (state / "key").write_text(str(made["key"]))
    command = [str(HERE), "serve", "--port", str(port)]
    return Process(command, cpu=cores()[0], log=state / "log", cwd=state, env={"WORLD_PORT": str(world)})


def _golive_asked(port: int, state: Path) -> Asked:
    url, headers = f"http://127.0.0.1:{port}/v1", {"authorization": f"Bearer {(state / 'key').read_text()}"}

    def begin() -> str:
        body = {"input": "Please.", "background": True}
        return str(http(f"{url}/agents/clerk/runs", "POST", body, headers=headers)["run"])

    def show(run: str) -> tuple[str, str]:
        result = http(f"{url}/runs/{run}", headers=headers)
        return str(result["outcome"] or result["state"]), str(result["text"])

    return Asked(begin, show)


def _uvicorn(peer: str, app: str, how: str, more: Callable[[], dict[str, str]] = dict) -> Any:
    def start(port: int, sim: str, world: int, state: Path) -> Process:
        command = [_python(peer), "-m", "uvicorn", "--app-dir", str(PEERS), f"{app}:app", "--port", str(port),
                   "--no-access-log", "--log-level", "warning"]  # fmt: skip
        env = {"SIM_URL": f"{sim}/v1", "BENCH_PROMPT": PROMPT, "AGNO_TELEMETRY": "false", "DURABLE": how,
               "STATE": str(state), "WORLD_PORT": str(world), **more()}  # fmt: skip
        return Process(command, cpu=cores()[0], log=state / "log", cwd=state, env=env)

    return start


def _pydantic_asked(port: int, state: Path) -> Asked:
    url = f"http://127.0.0.1:{port}/run"

    def show(run: str) -> tuple[str, str]:
        try:
            result = http(f"{url}/{run}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return "lost", ""
            raise
        return str(result["state"]), str(result["text"])

    return Asked(lambda: str(http(url, "POST", {})["run"]), show)


def _agno_asked(port: int, state: Path) -> Asked:
    url = f"http://127.0.0.1:{port}/agents/clerk/runs"

    def begin() -> str:
        form = {"message": "Please.", "stream": "false", "background": "true"}
        begun = http(url, "POST", form=form)
        return f"{begun['run_id']} {begun['session_id']}"

    def show(run: str) -> tuple[str, str]:
        run_id, session = run.split()
        try:
            result = http(f"{url}/{run_id}?session_id={session}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return "lost", ""
            raise
        return str(result["status"]).lower(), str(result.get("content") or "")

    def take_up(run: str) -> None:
        run_id, session = run.split()
        form = {"session_id": session, "stream": "false", "background": "false"}
        http(f"{url}/{run_id}/continue", "POST", form=form)

    return Asked(begin, show, take_up)


_POSTGRES: list[PostgresServer] = []


def _postgres() -> dict[str, str]:
    """A PostgreSQL for who needs one; started once, ended with this process."""
    if not _POSTGRES:
        server = PostgresServer("fsync=on")
        atexit.register(server.remove)
        server.start()
        _POSTGRES.append(server)
    return {"POSTGRES_URL": f"postgresql+psycopg://golive@/postgres?host={_POSTGRES[0].folder}"}


def _golive_version() -> str:
    return json_output([sys.executable, "-c", "import golive, json; print(json.dumps({'v': golive.__version__}))"])["v"]  # type: ignore[return-value]


CONTENDERS = (
    Contender("golive", "as it is, on SQLite", _golive_version, _golive_start, "/health/ready", _golive_asked),
    Contender("Agno, checkpoints", 'checkpoint="tool-batch" on SQLite, /continue by the caller',
              _package("agno-durable", "agno"), _uvicorn("agno-durable", "durable_agno_app", "checkpoints"), "/health",
              _agno_asked, _uvicorn("agno-durable", "durable_agno_app", "runs")),
    Contender("Agno, durable queue", "QueueConfig(durable=True, max_attempts=3) and checkpoints on PostgreSQL",
              _package("agno-durable", "agno"), _uvicorn("agno-durable", "durable_agno_app", "queue", _postgres),
              "/health", _agno_asked),
    Contender("Pydantic AI", "none of its own: its documentation points to DBOS, Temporal, Prefect",
              _package("pydantic-ai-dbos", "pydantic-ai-slim"),
              _uvicorn("pydantic-ai-dbos", "durable_pydantic_ai_app", "none"), "/health", _pydantic_asked),
    Contender("Pydantic AI + DBOS", "DBOSDurability, tools as steps, SQLite",
              _package("pydantic-ai-dbos", "dbos"), _uvicorn("pydantic-ai-dbos", "durable_pydantic_ai_app", "dbos"),
              "/health", _pydantic_asked, _uvicorn("pydantic-ai-dbos", "durable_pydantic_ai_app", "none")),
)  # fmt: skip


# ---- kills -----------------------------------------------------------------------------------------------------------


def _state(name: str) -> Path:
    state = STATE / "run" / "durable" / name.replace(" ", "-").replace(",", "").lower()
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir(parents=True)
    return state


def _calls(sim: str) -> int:
    return int(http(f"{sim}/sim/health")["requests"])


def killed_at(contender: Contender, sim: str, tool: str, phase: str) -> Seen:
    """One run, one kill, one restart."""
    world, seen, state, port = World().start(), Seen(), _state(contender.name), free_port()
    try:
        process = contender.start(port, sim, world.port, state)
        try:
            process.wait_ready(port, contender.ready)
            ask = contender.asked(port, state)
            world.hold = (tool, phase) if tool else None
            before = _calls(sim)
            run = ask.begin()
            if tool:
                if not world.reached.wait(30):
                    raise RuntimeError(f"{contender.name} never came to {tool}")
            else:
                _until(lambda: _calls(sim) - before >= CALLS, 30, "the answer")
                time.sleep(0.4)
        finally:
            process.kill()
            process.stop()
        process = contender.start(port, sim, world.port, state)
        try:
            process.wait_ready(port, contender.ready)
            seen.ended, seen.state, seen.text, seen.after_s = _follow(contender.asked(port, state), run)
        finally:
            process.kill()
            process.stop()
        seen.calls = _calls(sim) - before
        seen.asked, seen.begun, seen.done = dict(world.asked), dict(world.begun), dict(world.done)
    finally:
        world.stop()
    return seen


def _until(true: Callable[[], bool], within_s: float, what: str, every_s: float = 0.02) -> None:
    end = time.monotonic() + within_s
    while not true():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} did not come")
        time.sleep(every_s)


def _follow(ask: Asked, run: str) -> tuple[str, str, str, float]:
    """How the run ends after the restart (by itself, when taken up, or no), its last state, its text, and when."""
    how, began = "by itself", time.monotonic()
    deadline = began + BY_ITSELF_S
    while True:
        state, text = ask.show(run)
        if state == "completed":
            return how, state, text, time.monotonic() - began
        if state == "lost" and ask.take_up is None:
            return "no", state, "", 0.0
        if time.monotonic() > deadline:
            if ask.take_up is None or how != "by itself":
                return "no", state, text, 0.0
            how, began, deadline = "when taken up", time.monotonic(), time.monotonic() + TAKEN_UP_S
            with contextlib.suppress(urllib.error.URLError, TimeoutError):
                ask.take_up(run)
        time.sleep(0.05)


def cpu_a_run(contender: Contender, sim: str, runs: int, start: Start) -> float:
    """Milliseconds of CPU of the server and its children for a run that nobody kills, ten at a time."""
    world, state, port = World().start(), _state(contender.name), free_port()
    try:
        with start(port, sim, world.port, state) as process:
            process.wait_ready(port, contender.ready)
            ask = contender.asked(port, state)

            def one(_: int) -> None:
                run = ask.begin()
                time.sleep(1.2)  # so long an answer takes at least: looking costs CPU too
                _until(lambda: ask.show(run)[0] == "completed", 60, "the end of a run", 0.25)

            with ThreadPoolExecutor(10) as pool:
                list(pool.map(one, range(10)))
                before = process.cpu_s()
                list(pool.map(one, range(runs)))
                return (process.cpu_s() - before) * 1_000 / runs
    finally:
        world.stop()


# ---- the table -------------------------------------------------------------------------------------------------------


def told(seen: Seen) -> str:
    """One cell."""
    effects = []
    for tool, verb in (("pay", "paid"), ("mail", "mailed")):
        times = seen.done.get(tool, 0)
        effects.append({0: f"**not {verb}**", 1: f"{verb} once"}.get(times, f"**{verb} {times} times**"))
    if seen.ended == "no":
        end = "**run lost**" if seen.text == "" else "**run not ended**"
        end += f" ({seen.state})" if seen.state not in ("", "lost") else ""
    else:
        whole = "whole" if seen.text == TEXT else "**not whole**"
        end = f"ended {seen.ended} after {seen.after_s:.1f} s, answer {whole}"
    return f"{', '.join(effects)}; {end}; {seen.calls} model calls"


def table(found: dict[str, dict[str, Seen]], cpu: dict[str, float], without: dict[str, float]) -> str:
    """Points by contenders."""
    lines = ["| killed | " + " | ".join(found) + " |", "|---|" + "---|" * len(found)]
    for _, _, point in POINTS:
        lines.append(f"| {point} | " + " | ".join(told(seen[point]) for seen in found.values()) + " |")
    lines.append("| CPU a run without kills, ms | " + " | ".join(f"{cpu[name]:.1f}" for name in found) + " |")
    cells = [f"{without[name]:.1f}" if name in without else "-" for name in found]
    lines.append("| the same without its durable way, ms | " + " | ".join(cells) + " |")
    cells = [f"{(cpu[name] - without[name]) / STEPS:.1f}" if name in without else "-" for name in found]
    lines.append(f"| what a durable step adds ({STEPS} a run), ms | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="runs for the CPU (default 100)")
    parser.add_argument("--only", nargs="*", help="these contenders alone")
    parser.add_argument("--write", action="store_true", help="write the table into bench/README.md")
    options = parser.parse_args()
    found: dict[str, dict[str, Seen]] = {}
    cpu: dict[str, float] = {}
    without: dict[str, float] = {}
    notes = []
    with _provider() as sim:
        for contender in CONTENDERS:
            if options.only and contender.name not in options.only:
                continue
            try:
                version = contender.version()
                found[contender.name] = {
                    name: killed_at(contender, sim, tool, phase) for tool, phase, name in POINTS
                }  # fmt: skip
                cpu[contender.name] = cpu_a_run(contender, sim, options.runs, contender.start)
                if contender.without is not None:
                    without[contender.name] = cpu_a_run(contender, sim, options.runs, contender.without)
            except Missing as missing:
                print(f"{contender.name}: {missing}", file=sys.stderr)
                continue
            notes.append(f"- {contender.name} ({version}): {contender.way}.")
            print(contender.name, {name: told(seen) for name, seen in found[contender.name].items()}, cpu, flush=True)
    at = time.strftime("%Y-%m-%d %H:%M", time.gmtime())
    machine = f"{report.cpu_name()}, {os.cpu_count()} cores"
    head = f"Measured {at} UTC with `python bench/durable.py --runs {options.runs}`. {machine}."
    written = f"{head}\n\n{table(found, cpu, without)}\n\n" + "\n".join(notes) + "\n"
    print(written)
    if options.write:
        report.put(BEGIN, END, written)


@contextlib.contextmanager
def _provider() -> Iterator[str]:
    with provider() as running:
        sim = f"http://127.0.0.1:{running.port}"
        http(f"{sim}/sim/scripts", "POST", {"model": "sim-clerk", "script": SCRIPT})
        yield sim


if __name__ == "__main__":
    assert threading.current_thread() is threading.main_thread()
    main()
