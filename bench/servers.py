"""The servers that are compared: how each is installed, started and asked. One `Contender` each; golive is the first.

Owns nothing of the load or the figures. Peers are installed by bench/peers/setup into .bench/, and a peer that is not
there is left out, saying why.
"""

import contextlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from processes import Process, cores, free_port, json_output, output

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "bench" / "peers"
STATE = ROOT / ".bench"
"""Environments of the peers, and what the servers write (on a real disk: golive's journal is measured durable)."""
HERE = Path(sys.executable).with_name("golive")
"""The command of this working tree."""
QUESTION = "Where is my parcel, please? I ordered a kettle and two lanterns a week ago."
PROMPT = "You are the support agent of a shop. Answer in two sentences."
CONTENT = r'"content": ?"[^"]'

AGENT_TOML = """name = "{name}"
version = "1"
[models.default]
chain = ["sim/{model}"]
[limits]
deadline_s = 600.0
"""
TOOLS = '''"""A tool, so that a worker process runs."""


def parcel(number: str) -> str:
    """Says where a parcel is.

    Args:
        number: the parcel's number.
    """
    return f"parcel {number} arrives tomorrow"
'''


class Missing(Exception):
    """A peer that cannot be measured here; the text says why."""


@dataclass(frozen=True)
class Ask:
    """How one server is asked for one thing; the fields are those of `load.Scenario`."""

    path: str
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    first: str = CONTENT
    last: str = ""


@dataclass(frozen=True)
class Running:
    """A server that answers. `chat` and `agent` make its requests from a model's name; None: it does not do that."""

    process: Process
    port: int
    chat: Callable[[str, bool], Ask] | None = None
    agent: Callable[[str], Ask] | None = None


Start = Callable[[int], contextlib.AbstractContextManager[Running]]


@dataclass(frozen=True)
class Contender:
    """One of the table's columns. `start` takes the simulator's port."""

    name: str
    version: Callable[[], str]
    start: Start


def chat_ask(model: str, stream: bool, headers: dict[str, str] | None = None) -> Ask:
    """A chat completion, in OpenAI's shape."""
    messages = [{"role": "system", "content": PROMPT}, {"role": "user", "content": QUESTION}]
    body = json.dumps({"model": model, "messages": messages, "stream": stream})
    return Ask("/v1/chat/completions", body, headers or {}, last="[DONE]" if stream else '"usage"')


# ---- the provider, and asking it directly ----------------------------------------------------------------------------


@contextlib.contextmanager
def provider() -> Iterator[Running]:
    """golive's simulator in a process of its own, beside the load generator."""
    port = free_port()
    command = [sys.executable, "-m", "golive.sim", "--port", str(port)]
    with Process(command, cpu=cores()[1], log=STATE / "run" / "provider.log") as process:
        process.wait_ready(port, "/v1/models")
        yield Running(process, port, chat=chat_ask, agent=lambda model: chat_ask(model, True))


# ---- golive ----------------------------------------------------------------------------------------------------------


def golive_project(sim_port: int, models: dict[str, str]) -> Path:
    """A fresh project: an agent for each name and model; "tool" in the name gives it a tool."""
    root = STATE / "run" / "golive"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    (root / "golive.toml").write_text(
        f'[providers.sim]\nbase_url = "http://127.0.0.1:{sim_port}/v1"\ncall_s = 600.0\n'
        '[prices."sim/*"]\ninput_usd_per_mtok = 1.0\noutput_usd_per_mtok = 4.0\n'
    )
    for name, model in models.items():
        folder = root / "agents" / name
        folder.mkdir(parents=True)
        (folder / "agent.toml").write_text(AGENT_TOML.format(name=name, model=model))
        (folder / "prompt.md").write_text(PROMPT)
        if "tool" in name:
            (folder / "tools.py").write_text(TOOLS)
    return root


AGENTS = {
    "paced": "sim-text?tokens=20&pace_ms=10",
    "held": "sim-text?tokens=900&pace_ms=200",
    "with-tool": "sim-tools?tokens=20&pace_ms=10",
}
"""golive's agents are declared, so each model that agents are measured with has one."""


@contextlib.contextmanager
def golive(sim_port: int, command: Path = HERE) -> Iterator[Running]:
    """`golive serve` as it is: keys checked, journal durable on SQLite (synchronous=FULL), usage metered, logs on."""
    root = golive_project(sim_port, AGENTS)
    made = json_output([str(command), "keys", "create", "--name", "bench", "--json"], cwd=root)
    headers = {"authorization": f"Bearer {made['key']}"}
    names = {model: name for name, model in AGENTS.items()}

    def agent(model: str) -> Ask:
        body = json.dumps({"input": QUESTION, "stream": True})
        done = '"outcome":"completed"' if model != AGENTS["held"] else ""
        return Ask(f"/v1/agents/{names[model]}/runs", body, headers, first="event: text.delta", last=done)

    port = free_port()
    with Process([str(command), "serve", "--port", str(port)], cpu=cores()[0], log=root / "log", cwd=root) as process:
        process.wait_ready(port, "/health/ready")
        yield Running(process, port, lambda model, stream: chat_ask(f"sim/{model}", stream, headers), agent)


def _golive_version() -> str:
    return output([str(HERE), "--version"]).split()[-1]


# ---- peers -----------------------------------------------------------------------------------------------------------


def _python(peer: str) -> str:
    python = STATE / peer / "bin" / "python"
    if not python.exists():
        raise Missing(f"not installed: bench/peers/setup {peer}")
    return str(python)


def _package(peer: str, package: str) -> Callable[[], str]:
    def version() -> str:
        return output([_python(peer), "-c", f"import importlib.metadata as m; print(m.version({package!r}))"])

    return version


@contextlib.contextmanager
def litellm(sim_port: int) -> Iterator[Running]:
    """The LiteLLM proxy with a master key, one worker, logging off, no database."""
    python, port, run = _python("litellm"), free_port(), STATE / "run" / "litellm"
    run.mkdir(parents=True, exist_ok=True)
    config = (PEERS / "litellm.yaml").read_text().replace("@SIM@", f"http://127.0.0.1:{sim_port}/v1")
    (run / "config.yaml").write_text(config)
    env = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION"}
    command = [str(Path(python).with_name("litellm")), "--config", str(run / "config.yaml"), "--host", "127.0.0.1",
               "--port", str(port), "--num_workers", "1", "--telemetry", "False"]  # fmt: skip
    headers = {"authorization": "Bearer sk-bench"}
    with Process(command, cpu=cores()[0], log=run / "log", cwd=run, env=env) as process:
        process.wait_ready(port, "/health/liveliness")
        yield Running(process, port, lambda model, stream: chat_ask(model, stream, headers))


def _uvicorn(peer: str, app: str, sim_port: int, ready: str, port: int) -> Process:
    command = [_python(peer), "-m", "uvicorn", "--app-dir", str(PEERS), f"{app}:app", "--port", str(port),
               "--no-access-log", "--log-level", "warning"]  # fmt: skip
    env = {"SIM_URL": f"http://127.0.0.1:{sim_port}/v1", "BENCH_PROMPT": PROMPT, "AGNO_TELEMETRY": "false"}
    run = STATE / "run" / peer
    run.mkdir(parents=True, exist_ok=True)
    process = Process(command, cpu=cores()[0], log=run / "log", cwd=run, env=env)
    try:
        process.wait_ready(port, ready)
    except BaseException:
        process.stop()
        raise
    return process


@contextlib.contextmanager
def relay(sim_port: int) -> Iterator[Running]:
    """Our bare relay: the least that Python can do."""
    port = free_port()
    with _uvicorn("relay", "relay", sim_port, "/health", port) as process:
        yield Running(process, port, chat_ask)


@contextlib.contextmanager
def pydantic_ai(sim_port: int) -> Iterator[Running]:
    """An agent of Pydantic AI behind a streaming FastAPI endpoint, as its documentation shows."""
    port = free_port()

    def agent(model: str) -> Ask:
        body = json.dumps({"input": QUESTION, "model": model})
        return Ask("/run", body, first='"delta":', last="[DONE]" if "200" not in model else "")

    with _uvicorn("pydantic-ai", "pydantic_ai_app", sim_port, "/health", port) as process:
        yield Running(process, port, agent=agent)


@contextlib.contextmanager
def agno(sim_port: int) -> Iterator[Running]:
    """Agno's AgentOS with one agent, streaming, without a database."""
    port = free_port()
    names = {model: name for name, model in AGENTS.items()}

    def agent(model: str) -> Ask:
        boundary = "bench"
        parts = "".join(
            f'--{boundary}\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in (("message", QUESTION), ("stream", "true"))
        )
        done = "RunCompleted" if model != AGENTS["held"] else ""
        return Ask(
            f"/agents/{names[model]}/runs", f"{parts}--{boundary}--\r\n",
            content_type=f"multipart/form-data; boundary={boundary}", first="event: RunContent", last=done,
        )  # fmt: skip

    with _uvicorn("agno", "agno_app", sim_port, "/health", port) as process:
        yield Running(process, port, agent=agent)


@contextlib.contextmanager
def nginx(sim_port: int) -> Iterator[Running]:
    """nginx with one worker, passing on to the provider: the limit."""
    command = _nginx()
    port, run = free_port(), STATE / "run" / "nginx"
    run.mkdir(parents=True, exist_ok=True)
    config = (PEERS / "nginx.conf").read_text()
    for name, value in (("@RUN@", str(run)), ("@PORT@", str(port)), ("@SIM_PORT@", str(sim_port))):
        config = config.replace(name, value)
    (run / "nginx.conf").write_text(config)
    with Process([command, "-c", str(run / "nginx.conf"), "-p", str(run)], cpu=cores()[0], log=run / "log") as process:
        process.wait_ready(port, "/v1/models")
        yield Running(process, port, chat_ask)


def _nginx() -> str:
    command = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if command is None:
        raise Missing("nginx is not installed: apt-get install nginx-light")
    return command


def _nginx_version() -> str:
    return output(["sh", "-c", f"{_nginx()} -v 2>&1"]).rpartition("/")[2].split()[0]


GOLIVE = Contender("golive", _golive_version, golive)
CONTENDERS = (
    GOLIVE,
    Contender("nginx", _nginx_version, nginx),
    Contender("bare relay", lambda: f"on Starlette {_package('relay', 'starlette')()}", relay),
    Contender("LiteLLM", _package("litellm", "litellm"), litellm),
    Contender("Pydantic AI", _package("pydantic-ai", "pydantic-ai-slim"), pydantic_ai),
    Contender("Agno AgentOS", _package("agno", "agno"), agno),
)
