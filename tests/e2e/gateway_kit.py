"""A whole server for the gateway's tests: simulator, model plane, store, runtime and HTTP on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from openai import AsyncOpenAI

from golive.config.schema import GoliveConfig, LimitsConfig, ProviderConfig, TierConfig, WorkerConfig
from golive.core.chance import SystemChance
from golive.core.clock import SystemClock
from golive.core.events import Body
from golive.core.health import Dependency
from golive.core.ids import Ids
from golive.gateway.listen import HttpServer, bind
from golive.gateway.server import Gateway
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport
from golive.runtime.agent import Agents, AgentVersion, Limits, Tier
from golive.runtime.relay import Relay
from golive.runtime.service import Runtime, RuntimeSettings
from golive.runtime.state import RunState
from golive.sim.script import Script
from golive.sim.server import Simulator
from golive.store.sqlite.store import SqliteStore
from golive.telemetry.logs import configure
from golive.telemetry.metrics import Metrics
from golive.tenants.administration import Settings, TenantAdmin
from golive.tenants.authentication import Credentials
from golive.tenants.judged import Judged
from golive.tenants.keyring import Keyring
from golive.tenants.keys import KeyAdmin
from golive.workers.inline import InlineToolset

PEPPER = b"p" * 32
TOOLS = '''
def get_order(order_id: str) -> dict:
    """Look up an order.

    Args:
        order_id: Its number.
    """
    return {"order_id": order_id, "state": "shipped"}
'''


class Server:
    """Everything built, as `app.py` builds it; see `serving`."""

    def __init__(self, path: Path, config: GoliveConfig, **options: Any) -> None:
        self.clock = SystemClock()
        self.log_path = path / "server.log"
        self._log_file = self.log_path.open("w")
        self.log = configure("info", "json", None, self._log_file)
        self.config = config
        self.store = SqliteStore.open(path / "golive.db", clock=self.clock)
        self.sim = Simulator(seed=1, clock=self.clock)
        self.keyring = Keyring(self.store, PEPPER, self.clock)
        self.judged: list[Judged] = []
        self.keys = KeyAdmin(self.store, PEPPER, self.clock, SystemChance(), self.keyring.learn)
        self.metrics = Metrics()
        self.agents = Agents()
        self.options = options
        self.path = path

    def _observe(self, state: RunState, bodies: list[Body]) -> None:
        accepted = state.accepted
        assert accepted is not None
        self.metrics.observe(state.tenant, accepted.agent, accepted.version_name, bodies)

    async def start(self) -> None:
        base_url = await self.sim.start()
        provider = ProviderConfig(
            base_url=base_url, models=("sim-text", "sim-echo"), first_token_s=1, between_tokens_s=1
        )
        dead = ProviderConfig(base_url="http://127.0.0.1:9/v1", models=())
        more = self.options.get("providers", lambda base_url: {})(base_url)
        self.config = self.config.model_copy(update={"providers": {"sim": provider, "dead": dead, **more}})
        resolve = self.options.get("secrets", lambda ref: ref)
        self.plane = ModelPlane(self.config, resolve, HttpTransport(), self.clock)
        folder = self.path / "support"
        folder.mkdir()
        (folder / "tools.py").write_text(TOOLS)
        self.toolset = InlineToolset(
            folder, WorkerConfig(), {}, LimitsConfig(), clock=self.clock, log=print, name="support"
        )
        await self.toolset.start()
        self.put_agent("support", "sim/sim-agent")
        server = self.config.server
        ids = Ids(self.clock, SystemChance())
        settings = RuntimeSettings(
            holder="test",
            max_open_runs=server.max_open_runs,
            conversation_queue=server.conversation_queue,
            disconnect_grace_s=server.disconnect_grace_s,
        )
        self.runtime = Runtime(
            store=self.store, agents=self.agents, clock=self.clock, ids=ids, settings=settings, observer=self._observe,
            faults=lambda run, error: self.log.error("run.failed", run=run, exc_info=error),
        )  # fmt: skip
        self.relay = Relay(
            store=self.store, target=self.plane.target, clock=self.clock, ids=ids, holder="test", observer=self._observe
        )
        await self.keyring.start()
        self.admin = (await self.keys.create("default", "tests", "admin", created_by="tests")).secret
        self.gateway = Gateway(
            runtime=self.runtime, relay=self.relay, credentials=Credentials(self.keyring), key_admin=self.keys,
            hook=self.judged.append,
            models=self.plane.models, dialect=self.plane.dialect, embeddings=self.plane.embeddings,
            breakers=self.plane.breakers, reset_breakers=self.plane.reset_breakers,
            health=self._health, ping=self.store.ping,
            config_rows=lambda: [{"key": "server.port", "value": 0, "origin": "test", "default": 8080}],
            metrics=self.metrics, server=server, log=self.log, clock=self.clock, ids=ids,
            **self.options.get("gateway", lambda _: {})(self),
        )  # fmt: skip
        self.http = HttpServer(self.gateway, bind("127.0.0.1", 0), server)
        await self.http.start()
        self.url = self.http.url

    def put_agent(self, name: str, target: str, tier: TierConfig | None = None, **limits: Any) -> None:
        """Serves an agent over one target, or as `tier` says."""
        call = self.plane.chain(tier or TierConfig(chain=(target,), retries=0))
        self.agents.put(AgentVersion(
                name=name, version_name="1.0.0", digest="sha256:test", description="Answers.", prompt="Be brief.",
                tiers={"default": Tier(call=call, targets=(target,))}, toolset=self.toolset,
                limits=Limits(limits.get("max_steps", 15), limits.get("deadline_s", 30.0), 16), on_disconnect="cancel",
            ),
        )  # fmt: skip

    async def foreign_key(self) -> str:
        """An admin's key of another tenant than "default"."""
        await TenantAdmin(self.store, self.clock).create("elsewhere", Settings(), by="tests")
        return (await self.keys.create("elsewhere", "theirs", "admin", created_by="tests")).secret

    async def _health(self) -> list[Dependency]:
        return self.options.get("dependencies") or [Dependency("store", "store", "up", 0.1)]

    async def stop(self) -> None:
        await self.http.stop()
        await self.runtime.drain(0.1)
        await self.keyring.close()
        await self.toolset.close()
        await self.plane.close()
        await self.sim.stop()
        await self.store.close()
        self._log_file.close()

    def client(self, key: str | None = None) -> aiohttp.ClientSession:
        """An HTTP client; without the default key when `key` is "" """
        secret = self.admin if key is None else key
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return aiohttp.ClientSession(self.url, headers=headers)

    def openai(self, key: str | None = None, **options: Any) -> AsyncOpenAI:
        """The official SDK, pointed here."""
        return AsyncOpenAI(api_key=key or self.admin, base_url=f"{self.url}/v1", **{"max_retries": 0, **options})

    def script(self, model: str, **fields: Any) -> None:
        """What the simulator does for `model` from now on."""
        self.sim.scripts.install(model, Script(**fields))

    def sent(self) -> list[dict[str, Any]]:
        """The bodies the simulator received, in order."""
        return [msgspec.json.decode(entry.body) for entry in self.sim.requests.entries() if entry.body is not None]

    def log_lines(self) -> list[dict[str, Any]]:
        self._log_file.flush()
        return [msgspec.json.decode(line) for line in self.log_path.read_text().splitlines()]


@asynccontextmanager
async def serving(path: Path, config: GoliveConfig | None = None, **options: Any) -> AsyncIterator[Server]:
    """A running server for the block."""
    server = Server(path, config or GoliveConfig(), **options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def sse(response: aiohttp.ClientResponse, until: str | None = None) -> list[tuple[str, str, Any]]:
    """The events of a stream as (id, name, data), to its end or through the first one named `until`."""
    events: list[tuple[str, str, Any]] = []
    fields: dict[str, str] = {}
    async for raw in response.content:
        line = raw.decode().rstrip("\n")
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "data" in fields:
            events.append((fields.get("id", ""), fields.get("event", ""), msgspec.json.decode(fields["data"])))
            fields = {}
            if events[-1][1] == until:
                break
    return events


async def raw(url: str, request: bytes) -> bytes:
    """What a server says to these bytes, until the answer is whole or the connection ends."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    await writer.drain()
    answer = b""
    async with asyncio.timeout(30):
        while data := await reader.read(65_536):
            answer += data
            if b"\r\n\r\n" in answer and (b"content-length" not in answer or answer.endswith((b"}", b"</html>\n"))):
                break
    writer.close()
    return answer
