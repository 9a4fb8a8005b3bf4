"""A real server process for tests of crashes and bad input: a project folder, a scripted provider, a `golive serve`."""

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from golive.config.load import load
from golive.core.clock import SystemClock
from golive.sim.script import Script
from golive.sim.server import Simulator
from golive.tenants.opening import create_key

GOLIVE = """
[server]
port = 0
disconnect_grace_s = 0.2
drain_s = 5

[providers.sim]
base_url = "{url}"
first_token_s = 5
between_tokens_s = 5

[prices."sim/*"]
input_usd_per_mtok = 1
output_usd_per_mtok = 4
"""
AGENT = """
name = "{name}"
version = "1.0.0"

[models.default]
chain = ["sim/{model}"]
"""
RUNS = "/v1/agents/talk/runs"


class Project:
    """A folder with golive.toml and agents, a simulated provider, and the server processes that serve it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sim = Simulator(seed=1, clock=SystemClock())
        self.environ = {name: value for name, value in os.environ.items() if not name.startswith("GOLIVE_")}
        self.key = ""
        self.url = ""
        self.process: asyncio.subprocess.Process | None = None
        self.log_path = root / "server.log"

    async def begin(self, golive: str = "") -> None:
        """Writes golive.toml and the agent `talk` (no tools), and makes a key."""
        url = await self.sim.start()
        (self.root / "golive.toml").write_text(GOLIVE.format(url=url) + golive)
        self.agent("talk", "sim-talk")

    def agent(self, name: str, model: str, *, tools: str = "", more: str = "") -> Path:
        """Writes an agent; returns its folder."""
        folder = self.root / "agents" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "agent.toml").write_text(AGENT.format(name=name, model=model) + more)
        (folder / "prompt.md").write_text("Be brief.\n")
        if tools:
            (folder / "tools.py").write_text(tools)
        return folder

    def script(self, model: str, **fields: Any) -> None:
        """What the provider does for `model` from now on."""
        self.sim.scripts.install(model, msgspec.convert(fields, Script))

    async def spawn(self, *, preexec: Callable[[], None] | None = None) -> asyncio.subprocess.Process:
        """Starts `golive serve`; its log goes to a file. Does not wait until it answers."""
        with self.log_path.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "golive.cli.main", "serve", "--config", str(self.root), "--announce", "json",
                env=self.environ, stdout=asyncio.subprocess.PIPE, stderr=log, preexec_fn=preexec,
            )  # fmt: skip

    async def serve(self, *, preexec: Callable[[], None] | None = None) -> None:
        """Starts the server and waits until it answers; makes the key at the first time."""
        if not self.key:
            loaded = load(self.root, self.environ)
            self.key = (await create_key(loaded, "tests", "admin", self.environ)).secret
        self.process = await self.spawn(preexec=preexec)
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            line = await self.process.stdout.readline()
        assert line, self.log_path.read_text()
        self.url = msgspec.json.decode(line)["url"]

    async def kill(self) -> None:
        """SIGKILL, and the end of it."""
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    async def stop(self, number: int = signal.SIGTERM) -> int:
        """A signal, and the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        async with asyncio.timeout(20):
            return await self.process.wait()

    def limit_files(self, size: int) -> None:
        """The largest file the server may write from now on: at a full disk it writes nothing more."""
        assert self.process is not None
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def client(self, key: str | None = None) -> aiohttp.ClientSession:
        """An HTTP client with the key."""
        headers = {"Authorization": f"Bearer {self.key if key is None else key}"}
        return aiohttp.ClientSession(self.url, headers=headers)

    def sent(self) -> list[dict[str, Any]]:
        """The bodies the provider received, in order."""
        return [msgspec.json.decode(entry.body) for entry in self.sim.requests.entries() if entry.body is not None]

    def log(self) -> list[dict[str, Any]]:
        """The server's log so far; a line that is cut short (the disk was full) is left out."""
        lines = []
        for line in self.log_path.read_bytes().splitlines():
            try:
                lines.append(msgspec.json.decode(line))
            except msgspec.DecodeError:
                continue
        return lines

    async def close(self) -> None:
        """Ends what still runs."""
        if self.process is not None and self.process.returncode is None:
            await self.kill()
        await self.sim.stop()


@asynccontextmanager
async def project(root: Path, golive: str = "") -> AsyncIterator[Project]:
    """A project for the block; `serve` starts its server."""
    made = Project(root)
    try:
        await made.begin(golive)
        yield made
    finally:
        await made.close()


async def golive(root: Path, *words: str, environ: dict[str, str] | None = None) -> tuple[int, str, str]:
    """Runs one command in `root`: exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "golive.cli.main", *words, cwd=root, env=environ or dict(os.environ),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def whole(events: list[tuple[str, str, Any]]) -> str:
    """The text that a client has in the end that does as it is told."""
    pieces: list[tuple[int, str, str]] = []  # where it ends, its item, its text
    for event_id, name, data in events:
        end = int(event_id.split("-")[1])
        if name == "text.delta":
            pieces.append((end, data["item"], data["text"]))
        elif name == "text.reset" and "pos" in data:
            pieces = [_cut_at(piece, data["pos"]) for piece in pieces if piece[0] - len(piece[2]) < data["pos"]]
        elif name == "text.reset":
            kept, left = [], data["length"]
            for piece in pieces:
                if piece[1] != data["item"]:
                    kept.append(piece)
                elif left > 0:
                    kept.append((piece[0], piece[1], piece[2][:left]))
                    left -= len(piece[2])
            pieces = kept
    return "".join(text for _, _, text in pieces)


def _cut_at(piece: tuple[int, str, str], pos: int) -> tuple[int, str, str]:
    end, item, text = piece
    return piece if end <= pos else (pos, item, text[: pos - end])
