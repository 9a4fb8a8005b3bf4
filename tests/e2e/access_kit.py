"""A whole server in this process, asked without a socket: its own routes, with keys of every kind."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from golive.app import Server
from golive.config.load import load
from golive.core.clock import SystemClock
from golive.gateway.watch import CONNECTION
from golive.sim.server import Simulator
from golive.tenants.administration import Settings, TenantAdmin

GOLIVE = """
[providers.sim]
base_url = "{url}"
models = ["sim-agent", "sim-other"]

[webhooks.all]
url = "http://127.0.0.1:9/hook"
secret = "file:hook.secret"

[webhooks.support]
url = "http://127.0.0.1:9/hook"
secret = "file:hook.secret"
agents = ["support"]

[webhooks.shop]
url = "http://127.0.0.1:9/hook"
secret = "file:hook.secret"
agents = ["shop"]

[schedules.for-support]
agent = "support"
cron = "0 0 1 1 *"
input = "Sum up."

[schedules.for-shop]
agent = "shop"
cron = "0 0 1 1 *"
input = "Sum up."

[roles.desk]
like = "operator"
verbs = ["runs.create", "keys.manage"]
agents = ["support"]
"""
AGENT = 'name = "{name}"\nversion = "1.0.0"\n[models.default]\nchain = ["sim/sim-agent"]\nretries = 0\n'


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class _Connection:
    """One that never ends of itself."""

    def watch(self, on_gone: Callable[[], None] | None) -> None: ...


class Asked:
    """A running server; `ask` sends it a request past the socket."""

    def __init__(self, server: Server) -> None:
        self.server = server

    async def tenant(self, name: str, **settings: Any) -> None:
        """Makes the tenant, where there is none of that name; this server knows it at once."""
        store, directory = self.server.store, self.server.tenancy.directory
        if await store.tenant(name).tenant_row() is None:
            made = TenantAdmin(store, SystemClock(), directory.refresh)
            await made.create(name, Settings(**settings), by="tests")

    async def key(self, role: str, *scopes: str, tenant: str = "default", **options: Any) -> str:
        """A key of the tenant, which is made where there is none."""
        await self.tenant(tenant)
        made = await self.server.security.key_admin.create(
            tenant, "test", role, created_by="tests", scopes=scopes, **options
        )
        return made.secret

    async def ask(
        self, key: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The whole answer; a stream is read to its end."""
        data = b"" if body is None else msgspec.json.encode(body)
        given = {"authorization": f"Bearer {key}", "content-type": "application/json", "host": "localhost"}
        given |= {"content-length": str(len(data))}
        more = list((headers or {}).items())  # of some mappings a name may stand there twice
        given = {name: value for name, value in given.items() if name not in dict(more)}
        path, _, query = path.partition("?")
        scope = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in [*given.items(), *more]],
            "client": ("192.0.2.7", 1), "http_version": "1.1", "scheme": "http", CONNECTION: _Connection(),
        }  # fmt: skip
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": data, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        async with asyncio.timeout(20):
            await self.server.gateway(scope, receive, send)
        told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]), told)

    async def run(self, key: str, agent: str) -> str:
        """A run of an agent that has finished; its id."""
        made = await self.ask(key, "POST", f"/v1/agents/{agent}/runs", {"input": "Hello."})
        assert made.status == 200, made
        return str(made.json["run"])


@asynccontextmanager
async def asked(root: Path, more: str = "") -> AsyncIterator[Asked]:
    """A server with the agents `support` and `shop`, of a project in `root`."""
    sim = Simulator(seed=1, clock=SystemClock())
    url = await sim.start()
    (root / "golive.toml").write_text(GOLIVE.format(url=url) + more)
    (root / "hook.secret").write_text("whsec_" + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    for name in ("support", "shop"):
        (folder := root / "agents" / name).mkdir(parents=True)
        (folder / "agent.toml").write_text(AGENT.format(name=name))
        (folder / "prompt.md").write_text("Be brief.\n")
    server = Server(load(root, {}), {}, inline=True)
    await server.start()
    try:
        yield Asked(server)
    finally:
        await server.close()
        await sim.stop()
