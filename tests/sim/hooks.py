"""The receiver of webhooks in the world: it keeps what came, refuses, is slow, and takes things without saying so."""

import asyncio
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from golive.config.outward import WebhookConfig
from golive.core.chance import Chance
from golive.models.transport import ConnectFailed, Disconnected
from tests.sim.processes import Process, WorldLoop

WEBHOOKS = {
    "office": WebhookConfig(
        url="http://office.test/hook", secret="env:SECRET", tenants=("*",),
        topics=("run.finished", "run.waiting"), timeout_s=2.0,
        waits_s=(0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0),
    ),
}  # fmt: skip
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SLOWEST_S = 0.03


class Told(Struct, frozen=True):
    """One message that came."""

    at: float
    process: str
    id: str
    topic: str
    run: str
    outcome: str | None
    decision: str | None
    tenant: str


class HookWeather(Struct):
    """Shares of all attempts, 0 to 1."""

    refused: float = 0.0
    failing: float = 0.0
    """Answered 500 or 503, and not taken."""
    silent: float = 0.0
    """Taken, and nothing is said."""


class Office:
    """Whoever is told."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.weather = HookWeather()


class _Answer:
    """Keeps `models.transport.Response`."""

    def __init__(self, status: int) -> None:
        self.status = status

    def header(self, name: str) -> str | None:
        return "1" if name == "retry-after" and self.status == 503 else None

    async def chunk(self) -> bytes:
        return b""

    async def read(self, limit: int) -> bytes:
        return b""

    def close(self) -> None: ...


class HookTransport:
    """A replica's way to the receiver; keeps `models.transport.Transport`."""

    def __init__(self, process: Process, loop: WorldLoop, office: Office, chance: Chance) -> None:
        self._process = process
        self._loop = loop
        self._office = office
        self._chance = chance

    async def send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, *, connect_s: float
    ) -> _Answer:
        weather, drawn = self._office.weather, self._chance.uniform(0.0, 1.0)
        answer: asyncio.Future[int] = self._loop.create_future()
        if drawn < weather.refused:
            await asyncio.sleep(self._way())
            raise ConnectFailed("connection refused")
        status = (500, 503)[int(drawn * 1_000) % 2] if drawn < weather.refused + weather.failing else 200
        silent = drawn > 1.0 - weather.silent
        self._loop.outside_later(self._way(), self._arrives, dict(headers), body or b"", status, silent, answer)
        return _Answer(await answer)

    def _arrives(
        self, headers: Mapping[str, str], body: bytes, status: int, silent: bool, answer: "asyncio.Future[int]"
    ) -> None:
        if status == 200:
            said = msgspec.json.decode(body)
            data = said["data"]
            decision = data.get("decision")
            self._office.told.append(
                Told(
                    self._loop.time(), self._process.name, headers["webhook-id"], said["type"], data["run"],
                    data.get("outcome"), decision["id"] if decision else None, data["tenant"],
                )
            )  # fmt: skip
        if not silent:
            self._loop.outside_later(self._way(), _answered, answer, status)
        elif status == 500:
            self._loop.outside_later(self._way(), _broken, answer)

    def _way(self) -> float:
        return self._chance.uniform(0.001, SLOWEST_S)

    async def close(self) -> None: ...


def _answered(answer: "asyncio.Future[int]", status: int) -> None:
    if not answer.done():
        answer.set_result(status)


def _broken(answer: "asyncio.Future[int]") -> None:
    if not answer.done():
        answer.set_exception(Disconnected("the connection broke"))
