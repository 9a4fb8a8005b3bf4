"""What the tests of webhooks are built from: receivers without sockets, a store in memory, virtual time."""

import asyncio
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

from golive.config.outward import WebhookConfig
from golive.core.chance import SeededChance
from golive.models.transport import ConnectFailed
from golive.runtime.post import Post
from golive.runtime.webhooks import Sender
from golive.store.ports import Delivery, Lease, OutboxMessage
from golive.store.sqlite.store import SqliteStore
from golive.telemetry.logs import configure
from golive.telemetry.metrics import Metrics
from tests.contract.store_kit import events
from tests.sim.loop import VirtualClock

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_" + "QUFB" * 8


class Answer:
    """Keeps `models.transport.Response`."""

    def __init__(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.body = body
        self.headers = headers or {}
        self.closed = 0

    def header(self, name: str) -> str | None:
        return self.headers.get(name.lower())

    async def chunk(self) -> bytes:
        body, self.body = self.body, b""
        return body

    async def read(self, limit: int) -> bytes:
        return await self.chunk()

    def close(self) -> None:
        self.closed += 1


class Receivers:
    """A transport whose other side is this object: by address a script of answers, the last of which repeats.

    An answer is a status, an `Answer`, seconds of hanging before a 200 (a float), or an exception.
    """

    def __init__(self, clock: VirtualClock, **scripts: list[object]) -> None:
        self.clock = clock
        self.scripts = scripts
        self.got: list[tuple[str, float, dict[str, str], bytes]] = []
        self.most = dict.fromkeys(scripts, 0)
        self._now = dict.fromkeys(scripts, 0)

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, connect_s: float
    ) -> Answer:
        name = url.rpartition("/")[2]
        self.got.append((name, self.clock.monotonic(), dict(headers), body or b""))
        script = self.scripts[name]
        answer = script.pop(0) if len(script) > 1 else script[0]
        self._now[name] += 1
        self.most[name] = max(self.most[name], self._now[name])
        try:
            if isinstance(answer, float):
                await asyncio.sleep(answer)
                return Answer(200)
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, Answer) else Answer(int(str(answer)))
        finally:
            self._now[name] -= 1

    async def close(self) -> None: ...

    def times(self, name: str) -> list[float]:
        return [round(at, 1) for to, at, _, _ in self.got if to == name]


def webhook(name: str, **fields: Any) -> WebhookConfig:
    return WebhookConfig(url=f"https://{name}.example/{name}", secret="env:SECRET", **fields)


class World:
    """A sender over a store in memory, with receivers by name."""

    def __init__(self, clock: VirtualClock, webhooks: dict[str, WebhookConfig], **scripts: list[object]) -> None:
        self.clock = clock
        self.webhooks = webhooks
        self.receivers = Receivers(clock, **scripts)
        self.store = SqliteStore.open(":memory:", clock=clock, inline=True)
        self.secrets = {"env:SECRET": SECRET, "env:OTHER": OTHER_SECRET}
        self.metrics = Metrics()
        self.lines = io.StringIO()
        self.log = configure("debug", "json", None, self.lines, clock=clock)
        self.runs = 0
        self.paused: set[str] = set()
        self.sender = self.another_sender()

    def another_sender(self) -> Sender:
        post = Post(self.receivers, self.secrets.__getitem__, lambda text: text, self.clock)
        return Sender(
            store=self.store, post=post, webhooks=lambda: self.webhooks, clock=self.clock, chance=SeededChance(1),
            metrics=self.metrics.outward, log=self.log, paused=lambda tenant: tenant in self.paused,
        )  # fmt: skip

    async def put(self, *targets: str) -> list[str]:
        """A run that ends, and what is to be told of it; the messages' ids."""
        self.runs += 1
        lease = Lease("default", f"run_{self.runs}", 1, "test")
        now = self.clock.now()
        body, id_ = b'{"type":"run.finished"}', f"msg_{self.runs:03}"
        messages = [
            OutboxMessage("default", lease.run, "", "d", 1, f"{id_}_{to}", now, "run.finished", to, 0.0, body)
            for to in targets
        ]
        await self.store.append(lease, 0, events(range(1, 2), lease), outbox=messages, at_rest=True)
        self.sender.wake()
        return [message.id for message in messages]

    async def delivery(self, id_: str) -> Delivery:
        return next(found for found in await self.store.tenant("default").deliveries(limit=500) if found.id == id_)

    async def until(self, done: Callable[[Delivery], bool], id_: str) -> Delivery:
        """Waits in virtual time."""
        while not done(found := await self.delivery(id_)):
            await asyncio.sleep(0.25)
        return found

    def logged(self, event: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.lines.getvalue().splitlines()]
        return [line for line in lines if line["event"] == event]


REFUSED = ConnectFailed("connection refused")
