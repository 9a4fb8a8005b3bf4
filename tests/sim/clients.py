"""Clients of the world: they ask for a run, watch, stall, leave, come back to any replica, cancel, read it to its end.

A client knows what came over its wires and nothing else. However it behaved in between, in the end it resumes the
stream with the id of the last event it saw and reads it to its end: what it then has must be the run, whole.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from golive.core.errors import GoliveError
from golive.core.frames import Cursor
from golive.core.messages import Message
from golive.runtime.api import RunRequest, RunResult
from golive.runtime.service import Runtime
from golive.tenants.authorize import Principal
from tests.sim.plan import ATTEMPTS, Case
from tests.sim.wire import Broken, Ended, Wire

if TYPE_CHECKING:
    from tests.sim.world import World

HEARTBEAT_S = 2.0
PATIENCE_S = 6.0
"""Without a sign of life for so long, a client goes elsewhere."""


class Seen(Struct, frozen=True):
    """One event of a stream, as a client reads it off the wire."""

    epoch: int
    pos: int
    event: str
    data: dict[str, Any]

    @property
    def text(self) -> str | None:
        """The words of a text event; None for any other."""
        return self.data["text"] if self.event in ("text.delta", "reasoning.delta") else None

    @classmethod
    def parse(cls, block: bytes) -> "Seen":
        """Reads one server-sent event."""
        fields = dict([line.split(": ", 1) for line in block.decode().split("\n") if line])
        epoch, _, pos = fields["id"].partition("-")
        return cls(int(epoch), int(pos), fields["event"], msgspec.json.decode(fields["data"]))


class Client:
    """Whoever asks for one case."""

    def __init__(self, world: "World", case: Case) -> None:
        self.world = world
        self.case = case
        self.attempt = 0
        self.run: str | None = None
        self.cursor = "0-0"
        self.finished = False
        """It has seen the run's end."""
        self.result: RunResult | None = None
        self.frames: list[Seen] = []

    @property
    def principal(self) -> Principal:
        return Principal(self.case.tenant, "key_1", "user")

    @property
    def name(self) -> str:
        return self.case.name(self.attempt)

    async def live(self) -> None:
        """From asking to the end."""
        await asyncio.sleep(self.case.at)
        wire = await self._begin()
        if self.run is None:
            return
        began = self.world.loop.time()
        match self.case.manner:
            case "leaves":
                await self._follow(wire, began + self.case.leaves_at)
                wire = None
                await asyncio.sleep(self.case.away_s)
            case "stalls":
                wire = await self._follow(wire, began + self.case.leaves_at, leave=False)
                await asyncio.sleep(self.case.away_s)
            case "cancels":
                await self._follow(wire, began + self.case.leaves_at)
                wire = None
                await self._once(self._cancelling)
            case "background" | "waits":
                while not self.finished and self.result is None and not self.world.stopped:
                    await self._once(self._asking)
                    await asyncio.sleep(0.7)
        while not self.finished and not self.world.stopped:
            wire = wire or self._connect(self._following, "follow")
            if wire is not None:
                await self._follow(wire, float("inf"))
                wire = None
            await asyncio.sleep(self.world.weather_chance.uniform(0.05, 0.8))

    # ---- asking for the run

    async def _begin(self) -> Wire | None:
        replicas = self.world.replicas
        for attempt in range(ATTEMPTS):
            self.attempt = attempt
            wire = None
            while wire is None and not self.world.stopped:
                first = attempt == 0 and replicas[self.case.replica % len(replicas)]
                wire = self._connect(partial(self._beginning, attempt), "begin", first or None)
                if wire is None:
                    await asyncio.sleep(0.3)
            try:
                answer = await wire.receive(PATIENCE_S) if wire is not None else None
            except (Broken, Ended):
                answer = None
            if answer == ("refused", "request.invalid"):
                return None
            if answer is not None and answer[0] == "accepted":
                self.run = answer[1]
                self.world.note(self.name, f"is {self.run}")
                self.world.tell("on_told_accepted", self, self.run)
                return wire
            self.world.note(self.name, f"not accepted: {answer}")
            if wire is not None:
                wire.leave()
            await asyncio.sleep(self.world.weather_chance.uniform(0.1, 1.5))
        return None

    async def _beginning(self, attempt: int, runtime: Runtime, wire: Wire) -> None:
        case = self.case
        request = RunRequest(
            agent=case.agent, input=(Message("user", f"Please do {case.name(attempt)}"),), principal=self.principal,
            conversation=case.conversation, background=case.manner == "background", deadline_s=case.deadline_s,
            on_disconnect=case.on_disconnect if case.manner != "background" else None,
        )  # fmt: skip
        run = await runtime.start(request)
        await wire.send(("accepted", run))
        if case.manner not in ("background", "waits"):
            await _stream(runtime, case.tenant, run, Cursor(), wire)

    # ---- afterwards

    async def _following(self, runtime: Runtime, wire: Wire) -> None:
        assert self.run is not None
        await _stream(runtime, self.case.tenant, self.run, Cursor.parse(self.cursor), wire)

    async def _cancelling(self, runtime: Runtime, wire: Wire) -> None:
        assert self.run is not None
        by, undo = self.principal.id, self.case.undo
        await wire.send(("result", await runtime.steering.cancel(self.case.tenant, self.run, by, "no more", undo=undo)))

    async def _asking(self, runtime: Runtime, wire: Wire) -> None:
        assert self.run is not None
        if self.case.manner == "waits":
            await wire.send(("result", await runtime.wait(self.case.tenant, self.run)))
        else:
            await wire.send(("result", await runtime.result(self.case.tenant, self.run)))

    async def _once(self, handler: Any) -> None:
        """One request that is answered at once, or not at all."""
        wire = self._connect(handler, handler.__name__)
        if wire is None:
            return
        try:
            answer = await wire.receive(60.0)
        except (Broken, Ended):
            return
        if answer is not None and answer[0] == "result":
            result: RunResult = answer[1]
            self.world.note(self.name, f"result {result.state} {result.outcome}")
            self.world.tell("on_result", self, result)
            if result.state == "finished":
                self.result = result
        wire.leave()

    async def _follow(self, wire: Wire | None, until: float, *, leave: bool = True) -> Wire | None:
        """Reads until the stream, the connection or the time is over; the wire, where it still stands."""
        while wire is not None and not self.finished:
            left = until - self.world.loop.time()
            if left <= 0:
                break
            try:
                piece = await wire.receive(min(PATIENCE_S, left))
            except (Broken, Ended):
                return None
            if piece is None:
                if left > PATIENCE_S:
                    break
                continue
            if piece[0] == "refused":
                break
            for block in piece[1]:
                self._take(Seen.parse(block))
        if wire is not None and leave:
            wire.leave()
            return None
        return wire

    def _take(self, seen: Seen) -> None:
        if seen.event != "error":
            self.cursor = f"{seen.epoch}-{seen.pos}"
            self.frames.append(seen)
        self.world.note(self.name, f"sees {seen.epoch}-{seen.pos} {seen.event}")
        self.world.tell("on_frame", self, seen)
        if seen.event == "run.finished":
            self.finished = True

    def _connect(self, handler: Any, name: str, replica: Any = None) -> Wire | None:
        chosen = replica or self.world.any_replica()

        async def told(runtime: Runtime, wire: Wire) -> None:
            try:
                await handler(runtime, wire)
            except GoliveError as error:
                await wire.send(("refused", error.code))

        wire: Wire | None = chosen.connect(told, f"{name} {self.name}")
        return wire


async def _stream(runtime: Runtime, tenant: str, run: str, cursor: Cursor, wire: Wire) -> None:
    """As the gateway streams a run."""
    frames = await runtime.subscribe(tenant, run, cursor)
    try:
        while (batch := await frames.next(HEARTBEAT_S)) is not None:
            await wire.send(("frames", [frame.sse() for frame in batch]))
    finally:
        frames.close()
