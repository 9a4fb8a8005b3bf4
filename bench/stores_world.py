"""What bench/stores.py measures: a PostgreSQL of its own, golive on either store, one or several, and their CPU.

PostgreSQL is that of the tests' wheel with `fsync` on, on the same disk as SQLite's file, reached by a socket of the
machine; its processes stand on the cores that are not the servers'. Leaves figures and tables to `stores.py`.
"""

import contextlib
import itertools
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import TICK_S, Process, cores, free_port, json_output
from scenarios import Loader, Void
from servers import AGENT_TOML, HERE, PROMPT, QUESTION, ROOT, STATE, TOOLS, Ask, chat_ask

sys.path.insert(0, str(ROOT))
from tests.postgres_kit import PostgresServer

WORLD = STATE / "run" / "stores"
AGENTS = {
    "paced": "sim-text?tokens=20&pace_ms=10",
    "with-tool": "sim-tools?tokens=20&pace_ms=10",
    "slow": "sim-text?tokens=4&first_token_ms=1250&pace_ms=250",
    "short": "sim-text?tokens=1",
}
"""Each agent's model. `slow` takes two seconds of the provider's time, and next to no CPU."""
SLOW_S = 2.0
WARM_S = 0.5


class Postgres:
    """A PostgreSQL server that is durable: it keeps the defaults but for its number of connections."""

    def __init__(self) -> None:
        mine = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {int(core) for core in cores()[1].split(",")})  # its processes inherit it
        try:
            self._server = PostgresServer(
                "fsync=on", "shared_buffers=128MB", "autovacuum_naptime=1min", "max_connections=100"
            )
            self._server.start()
        finally:
            os.sched_setaffinity(0, mine)
        self._numbers = itertools.count()
        self.version = self.ask("postgres", "SHOW server_version")
        fsync = self.ask("postgres", "SHOW fsync"), self.ask("postgres", "SHOW synchronous_commit")
        if fsync != ("on", "on"):
            raise SystemExit(f"PostgreSQL is not durable here: fsync and synchronous_commit are {fsync}")

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of an empty database, until it is dropped."""
        name = f"stores_{next(self._numbers)}"
        yield self._server.create(name)
        self._server.drop(name)

    def ask(self, database: str, sql: str) -> Any:
        """The first column of the first row."""
        return self._server.psql(database, sql)[0][0]

    def cpu_s(self) -> float:
        """Seconds of user and system time of all its processes so far, those that have ended among them."""
        return tree_cpu_s(int((self._server.folder / "data" / "postmaster.pid").read_text().split()[0]))

    def close(self) -> None:
        """Ends it and removes what it kept."""
        self._server.remove()


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def own_cpu_s(pid: int) -> float:
    """Seconds of user and system time of one process, its children not counted."""
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) * TICK_S


def tree_cpu_s(pid: int) -> float:
    """Seconds of a process and of its children, also of those that it has awaited."""
    total = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                fields = stat(int(entry))
                if int(entry) == pid or int(fields[1]) == pid:
                    total += sum(int(field) for field in fields[11 : 15 if int(entry) == pid else 13])
    return total * TICK_S


@dataclass(frozen=True)
class Fleet:
    """Servers of one project over one store, and how they are asked."""

    root: Path
    processes: list[Process]
    ports: list[int]
    headers: Mapping[str, str]

    def agent(self, name: str) -> Ask:
        """A run of an agent, streamed."""
        body = json.dumps({"input": QUESTION, "stream": True})
        return Ask(f"/v1/agents/{name}/runs", body, dict(self.headers), last='"outcome":"completed"',
                   first="event: text.delta")  # fmt: skip

    def relay(self) -> Ask:
        """A relayed chat completion, whole."""
        return chat_ask(f"sim/{AGENTS['short']}", False, dict(self.headers))

    def cpu_s(self) -> float:
        """Seconds of the server processes so far; their workers are not counted."""
        return sum(own_cpu_s(process.pid) for process in self.processes)

    def load(self, *asks: Ask, clients: int, seconds: float, **more: Any) -> list[dict[str, Any]]:
        """`clients` to each server for each of `asks`, at once; what each load saw.

        Raises:
            Void: an answer was not as it should be.
        """
        with contextlib.ExitStack() as stack:
            loaders = [
                stack.enter_context(Loader(ask, port, clients=clients, seconds=seconds, **more))
                for ask in asks
                for port in self.ports
            ]
            heard = [loader.hear() for loader in loaders]
        if not all(one["requests"] for one in heard):
            raise Void("a server answered nothing")
        return heard


def project(sim_port: int, name: str, settings: str) -> Path:
    """A fresh project with all the agents; `settings` go into golive.toml."""
    root = WORLD / name
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    (root / "golive.toml").write_text(
        f'[providers.sim]\nbase_url = "http://127.0.0.1:{sim_port}/v1"\ncall_s = 600.0\n'
        f'[prices."sim/*"]\ninput_usd_per_mtok = 1.0\noutput_usd_per_mtok = 4.0\n{settings}'
    )
    for agent, model in AGENTS.items():
        folder = root / "agents" / agent
        folder.mkdir(parents=True)
        (folder / "agent.toml").write_text(AGENT_TOML.format(name=agent, model=model))
        (folder / "prompt.md").write_text(PROMPT)
        if agent == "with-tool":
            (folder / "tools.py").write_text(TOOLS)
    return root


@contextlib.contextmanager
def fleet(
    sim_port: int,
    *,
    url: str = "",
    replicas: int = 1,
    settings: str = "",
    keep_days: float | None = None,
    command: Path = HERE,
    pinned: bool = True,
) -> Iterator[Fleet]:
    """Servers as `golive serve` starts them, with everything on.

    Args:
        url: of PostgreSQL; SQLite when empty.
        settings: more of golive.toml.
        pinned: all on the machine's first core; else on any.
    """
    store = "[store]\n" + (f'url = "{url}"\n' if url else "") + (f"keep_days = {keep_days}\n" if keep_days else "")
    root = project(sim_port, "golive", store + settings)
    made = json_output([str(command), "keys", "create", "--name", "bench", "--json"], cwd=root)
    with contextlib.ExitStack() as stack:
        processes, ports = [], []
        for number in range(replicas):
            port = free_port()
            started = Process(
                [str(command), "serve", "--port", str(port)],
                cpu=cores()[0] if pinned else "",
                log=root / f"log-{number}",
                cwd=root,
            )
            processes.append(stack.enter_context(started))
            started.wait_ready(port, "/health/ready")
            ports.append(port)
        yield Fleet(root, processes, ports, {"authorization": f"Bearer {made['key']}"})
