"""What the demo plays on: a copy of the shop in a temporary folder, simulated providers, a server process."""

import asyncio
import os
import shutil
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import msgspec
from msgspec import Struct

from golive.cli.client import Address
from golive.config.load import load
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import ConfigError, GoliveError
from golive.sim.process import SimulatorProcess
from golive.tenants.opening import create_key
from golive.workers.scratch import Scratch, sweep

SHOP = Path(__file__).parent / "shop"
FOLDER_PREFIX = "golive-demo-"
START_S = 20.0
MODEL = "sim-agent"
PACE_MS = 25.0
"""Between two tokens of a simulated answer."""


class Live(Struct, frozen=True):
    """A real provider for the demo: any server that speaks OpenAI Chat Completions."""

    base_url: str
    model: str
    api_key_env: str | None

    def toml(self) -> str:
        """Its sections of golive.toml; a server on this machine is free of charge."""
        lines = ["[providers.live]", f'base_url = "{self.base_url}"']
        if self.api_key_env:
            lines.append(f'api_key = "env:{self.api_key_env}"')
        if "127.0.0.1" in self.base_url or "localhost" in self.base_url:
            lines += ['[prices."live/*"]', "input_usd_per_mtok = 0", "output_usd_per_mtok = 0"]
        else:
            lines.append('price_as = "openai"')
        return "\n".join(lines) + "\n"


class Stage:
    """Opens with `start`, is taken down with `close`, whatever happened in between."""

    def __init__(self, live: Live | None) -> None:
        self.live = live
        self.root = Path()
        self.address = Address("", "")
        self.primary = SimulatorProcess(SystemClock(), seed=1)
        self.backup = SimulatorProcess(SystemClock(), seed=2)
        self.environ = dict(os.environ)
        self._stack = AsyncExitStack()
        self._server: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Copies the project, starts providers and server, makes a key.

        Raises:
            GoliveError: the server did not start; what it said is in the message.
        """
        sweep(FOLDER_PREFIX)
        folder = Scratch(FOLDER_PREFIX)
        self._stack.callback(folder.remove)
        self.root = folder.path / "shop"
        shutil.copytree(SHOP, self.root, ignore=shutil.ignore_patterns("__pycache__"))
        for name, simulator in (("PRIMARY", self.primary), ("BACKUP", self.backup)):
            self.environ[f"GOLIVE_PROVIDERS__{name}__BASE_URL"] = await simulator.start()
            self._stack.push_async_callback(simulator.stop)
            await _pace(simulator)
        if self.live is not None:
            self._go_live(self.live)
        loaded = load(self.root, self.environ)
        key = await create_key(loaded, "demo", "admin", self.environ)
        await self._serve()
        self.address = Address(self.address.url, key.secret, os.getpid())

    def _go_live(self, live: Live) -> None:
        config = self.root / "golive.toml"
        config.write_text(config.read_text() + "\n" + live.toml())
        agent = self.root / "agents" / "support" / "agent.toml"
        chain = f'chain = ["live/{live.model}"]'
        agent.write_text(agent.read_text().replace('chain = ["primary/sim-agent", "backup/sim-agent"]', chain))

    async def _serve(self) -> None:
        with (self.root / "server.log").open("wb") as log:
            self._server = process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "golive.cli.main", "serve", "--config", str(self.root), "--announce", "json",
                "--until-stdin-closes", env=self.environ, stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._stack.push_async_callback(self._stop_server)
        assert process.stdout is not None
        async with Deadline.after(SystemClock(), START_S, "the server's start").enforced(SystemClock()):
            line = await process.stdout.readline()
        if not line:
            said = (self.root / "server.log").read_text(errors="replace")[-2_000:]
            raise GoliveError(f"the demo's server did not start:\n{said}")
        self.address = Address(msgspec.json.decode(line)["url"], "")

    async def _stop_server(self) -> None:
        process = self._server
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with Deadline.after(SystemClock(), START_S, "the server's end").enforced(SystemClock()):
                await process.wait()
        except GoliveError:
            process.kill()
            await process.wait()

    async def close(self) -> None:
        """Ends what was started and removes the folder."""
        await self._stack.aclose()


async def _pace(simulator: SimulatorProcess) -> None:
    """Makes the simulated model speak about as fast as a real one, so that one sees the tokens stream."""
    script = {"model": MODEL, "script": {"mode": "agent", "pace_ms": PACE_MS}}
    address = simulator.base_url.removesuffix("/v1") + "/sim/scripts"
    async with aiohttp.ClientSession(raise_for_status=True) as session, session.post(address, json=script):
        pass


def live_provider(environ: dict[str, str], base_url: str | None, model: str | None) -> Live:
    """The real provider that the environment describes.

    Raises:
        ConfigError: there is neither a key nor an address of a server that needs none.
    """
    base_url = base_url or environ.get("OPENAI_BASE_URL")
    if environ.get("OPENAI_API_KEY"):
        return Live(base_url or "https://api.openai.com/v1", model or "gpt-5-mini", "OPENAI_API_KEY")
    if base_url:
        return Live(base_url, model or "default", None)
    raise ConfigError(
        "--live needs a provider: OPENAI_API_KEY is not set.",
        remedy="Set it, or name an OpenAI-compatible server with --base-url (and --model).",
        key="OPENAI_API_KEY",
    )
