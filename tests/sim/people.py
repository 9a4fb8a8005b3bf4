"""The people of the world: they look for what waits for a decision, find out what really happened, and say so.

Some decisions nobody makes: those run out, and the default counts.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

from golive.core.errors import GoliveError
from golive.runtime.service import Runtime
from golive.store.ports import DecisionRow
from tests.sim.whose import TENANTS
from tests.sim.wire import Broken, Ended, Wire

if TYPE_CHECKING:
    from tests.sim.world import World

LOOK_S = 1.5
LEFT_ALONE = 0.25
"""The share of decisions that nobody makes."""
ANSWER_S = 8.0


class People:
    """One person who decides, for all runs."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._left: dict[str, bool] = {}
        self.made = 0

    async def live(self) -> None:
        """Looks now and then, at any replica."""
        while not self._world.stopped:
            await asyncio.sleep(LOOK_S)
            rows = [row for tenant in TENANTS for row in await self._asked(partial(self._listing, tenant)) or ()]
            for row in rows:
                left = self._left.setdefault(row.id, self._world.weather_chance.uniform(0, 1) < LEFT_ALONE)
                if not (left or self._under_way(row)):
                    await self._decide(row)

    async def _decide(self, row: DecisionRow) -> None:
        choice = self._choice(row)

        async def deciding(runtime: Runtime, wire: Wire) -> None:
            result = await runtime.steering.decide(
                row.tenant, row.run, row.id, choice, by="key_2", content='{"done":true}' if choice == "done" else ""
            )
            await wire.send(("answer", result))

        self._world.note("people", f"decide {row.about} of {row.run[-6:]}: {choice}")
        if await self._asked(deciding) is not None:
            self.made += 1

    def _choice(self, row: DecisionRow) -> str:
        """What is true, where it can be found out."""
        if row.about != "unknown_effect":
            return "continue"
        return "done" if self._world.beyond.has(row.subject, self._key(row)) else "again"

    def _under_way(self, row: DecisionRow) -> bool:
        """Whether nobody can tell yet what is true."""
        return self._world.beyond.on_its_way[self._key(row)] > 0

    def _key(self, row: DecisionRow) -> str:
        return next((body.key for body in self._world.decision_bodies(row.run) if body.id == row.id), "")

    async def _listing(self, tenant: str, runtime: Runtime, wire: Wire) -> None:
        await wire.send(("answer", await runtime.decisions(tenant, None, True, None, 100)))

    async def _asked(self, handler: Any) -> Any:
        """What a replica answers; None: it did not."""

        async def told(runtime: Runtime, wire: Wire) -> None:
            try:
                await handler(runtime, wire)
            except GoliveError as error:
                await wire.send(("refused", error.code))

        wire = self._world.any_replica().connect(told, "person")
        if wire is None:
            return None
        try:
            answer = await wire.receive(ANSWER_S)
        except (Broken, Ended):
            return None
        wire.leave()
        return answer[1] if answer is not None and answer[0] == "answer" else None
