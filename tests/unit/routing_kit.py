"""A runtime whose agent has two tiers and a supervisor, both scripted."""

from pathlib import Path

import msgspec

from golive.core.events import StepRouted
from golive.runtime.agent import Tier
from golive.runtime.api import RunResult
from golive.runtime.routing import Routing
from golive.tools.toolset import ToolInvocation, ToolOutcome
from tests.unit.runtime_kit import Item, ScriptedModel, Tools, World, answer

DIRECT = answer('{"route":"direct","sure":true}')
TOOL = answer('{"route":"tool","sure":true}')
STRONG = answer('{"route":"strong","sure":true}')
PLAIN = Routing("cheap", "default")


class Routed:
    """A run of an agent with two tiers and a supervisor."""

    def __init__(
        self, path: Path, cheap: list[list[Item]], strong: list[list[Item]], policy: Routing = PLAIN, **options: object
    ) -> None:
        async def look(_: ToolInvocation) -> ToolOutcome:
            return ToolOutcome(True, "found")

        self.cheap, self.strong = ScriptedModel(*cheap), ScriptedModel(*strong)
        self.world = World(path, self.strong, Tools(look=look), **options)
        version = self.world.agents.get("default", "helper")
        tiers = {**version.tiers, "cheap": Tier(call=self.cheap, targets=("sim/small",), aside=self.cheap)}
        routed = msgspec.structs.replace(version, tiers=tiers, routing=policy)
        self.world.agents.put(routed)

    async def result(self, text: str = "Hello", **fields: object) -> RunResult:
        self.run = await self.world.start(text, **fields)
        return await self.world.runtime.wait("default", self.run)

    @property
    def events(self) -> list[tuple[str, str, str]]:
        return [(body.route, body.tier, body.reason) for body in self.world.bodies if isinstance(body, StepRouted)]
