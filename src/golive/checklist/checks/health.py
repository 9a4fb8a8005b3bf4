"""Does /health tell the truth? With the provider out it must say so, and readiness must not care."""

import asyncio
from typing import Any

from golive.checklist.http import Reply
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.sim.control import Outage

RECOVERY_S = 10.0
"""Within this /health must see that the providers are back, also one that nobody calls."""


@check(
    "GW-10.health",
    row="GW-10",
    title="/health is 503 and names the dependency while the provider is out; /health/ready stays 200",
    phase="resilience",
    severity="major",
    needs={"inject", "golive"},
    remediation="Point load balancers at /health/ready, people and alerts at /health; let no proxy cache either.",
    references=("https://www.rfc-editor.org/rfc/rfc9110#name-503-service-unavailable",),
)
async def health(target: Target) -> Result:
    """Well, out, and well again: asked after one call of each provider, so that nothing rests on an older look."""
    simulator = target.twin.simulator
    providers = sorted({name.partition("/")[0] for name in target.twin.targets})
    found = Finding(f"200; then 503 naming {', '.join(providers)} with ready 200; then 200")
    faults: list[str] = []
    statuses = []
    for state, expected in (("well", 200), ("out", 503), ("well again", 200)):
        if state == "out":
            found.saw(await simulator.begin_outage(Outage()))
        elif state == "well again":
            found.saw(await simulator.end_outage())
        await _call_each(target, providers)
        told = await _asked(target, expected, RECOVERY_S if state == "well again" else 0.0)
        ready = await target.send("GET", "/health/ready")
        found.saw(target.http.evidence(told, f"the providers are {state}"))
        statuses.append(f"{state}: {told.status}/{ready.status}")
        if told.status != expected:
            faults.append(f"with the providers {state}, /health answered {told.status}")
        if ready.status != 200:
            found.saw(target.http.evidence(ready))
            faults.append(f"with the providers {state}, /health/ready answered {ready.status}")
        if state == "out" and (silent := [name for name in providers if name not in _down(told.json())]):
            faults.append(f"/health does not name as down: {', '.join(silent)}")
    found.measured = f"/health and /health/ready: {'; '.join(statuses)}"
    return found.failed("; ".join(faults)) if faults else found.passed()


async def _asked(target: Target, expected: int, patience_s: float) -> Reply:
    """What /health says; asked again for so long while it says anything but `expected`."""
    deadline = target.clock.monotonic() + patience_s
    while True:
        told = await target.send("GET", "/health")
        if told.status == expected or target.clock.monotonic() >= deadline:
            return told
        await asyncio.sleep(0.25)


async def _call_each(target: Target, providers: list[str]) -> None:
    """One call of each provider, whatever comes of it."""
    for provider in providers:
        model = next(name for name in target.twin.targets if name.startswith(f"{provider}/"))
        await target.send("POST", "/v1/chat/completions", target.chat("Hello?") | {"model": model})


def _down(found: Any) -> set[str]:
    """Names of dependencies that the answer calls down."""
    if not isinstance(found, dict) or not isinstance(found.get("dependencies"), list):
        return set()
    return {str(each.get("name")) for each in found["dependencies"] if each.get("state") == "down"}
