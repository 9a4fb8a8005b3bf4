"""Does the supervisor's word count, and is a doubt the strong tier's? For agents that have `[routing]`."""

from typing import Any, NamedTuple

from golive.checklist.registry import check
from golive.checklist.results import Evidence, Finding, Result
from golive.checklist.target import Target, need_agent
from golive.checklist.twin import Twin
from golive.core.money import usd_text
from golive.sim.script import Script

SIMPLE = '{"route":"direct","sure":true}'
UNSURE = '{"route":"direct","sure":false}'
TOKENS = 40
"""Length of every answer, so that only prices tell the tiers apart."""


class _Seen(NamedTuple):
    """A run of one turn: how it ended, where it was sent, who answered, what it cost and what of that routing did."""

    outcome: str
    routed: list[str]
    answered: list[str]
    microusd: int
    routing_microusd: int
    priced: bool
    evidence: list[Evidence]


@check(
    "RT-5.routing",
    row="RT-5",
    title="The supervisor keeps simple turns on the cheap tier; in doubt, or when it is out, the strong tier answers",
    phase="cost",
    severity="major",
    needs={"inject", "clock", "golive", "agent"},
    remediation="Name two tiers of different price in [routing] of agent.toml.",
)
async def routing(target: Target) -> Result:
    """Three turns: the supervisor is sure, is unsure, and does not answer."""
    agent = target.twin.loaded.agents[need_agent(target)].config
    found = Finding("direct on the cheap tier; unsure and out on the strong tier; the first for less money")
    if agent.routing.supervisor is None:
        return found.unknown("the agent has no [routing]: one tier answers everything")
    cheap, strong = agent.models[agent.routing.supervisor].chain, agent.models[agent.routing.strong].chain
    if cheap[0] in strong or strong[0] in cheap:
        return found.unknown("the two tiers share their first targets, so that nobody can tell which one answered")
    twin = await target.twin.fast()
    sure = await _turn(twin, cheap, SIMPLE)
    unsure = await _turn(twin, cheap, UNSURE)
    out = await _turn(twin, cheap, None)
    for seen in (sure, unsure, out):
        for each in seen.evidence:
            found.saw(each)
    alone = unsure.microusd - unsure.routing_microusd
    found.measured = (
        f"sure: {sure.routed} answered by {sure.answered}; unsure: {unsure.routed} by {unsure.answered}; "
        f"out: {out.routed} by {out.answered}; {usd_text(sure.microusd)} instead of {usd_text(alone)}"
    )
    faults = [
        f"{what}: {fault}"
        for what, seen, tier, first in (("sure", sure, "direct", cheap[0]), ("unsure", unsure, "strong", strong[0]),
                                        ("out", out, "strong", strong[0]))
        for fault in _faults(seen, tier, first)
    ]  # fmt: skip
    if faults:
        return found.failed("; ".join(faults))
    if not (sure.priced and unsure.priced):
        return found.warned("what it saves cannot be told: a target has no price")
    if sure.microusd >= alone:
        return found.warned(f"a simple turn costs {usd_text(sure.microusd)}, and {usd_text(alone)} without routing")
    return found.passed()


def _faults(seen: _Seen, route: str, answered: str) -> list[str]:
    faults = [] if seen.outcome == "completed" else [f"the run ended as {seen.outcome}"]
    if seen.routed != [route]:
        faults.append(f"the turn was sent to {seen.routed or 'nobody'}, and not to {route}")
    if seen.answered != [answered]:
        faults.append(f"{seen.answered or 'nobody'} answered, and not {answered}")
    return faults


async def _turn(twin: Twin, cheap: tuple[str, ...], decision: str | None) -> _Seen:
    """One turn; `decision` None: the supervisor's targets refuse every connection."""
    await twin.reset()
    evidence = [await twin.simulator.play(Script(mode="text", tokens=TOKENS))]
    if decision is None:
        evidence.append(await twin.simulator.play(Script(refuse=True), models=cheap))
    else:
        evidence.append(await twin.simulator.play(Script(text=decision), times=1, models=cheap[:1]))
    reply, run = await twin.run("Thank you!")
    evidence.append(twin.http.evidence(reply))
    journal, events = await twin.journal(str(run.get("run")))
    routed = [event["body"] for event in events if event["kind"] == "step.routed"]
    return _Seen(
        str(run.get("outcome")),
        [str(body.get("route")) for body in routed],
        [str(event["body"].get("target")) for event in events if event["kind"] == "model.finished"],
        _number(run.get("cost_microusd")),
        sum(_number(body.get("cost_microusd")) for body in routed),
        run.get("priced") is True,
        [*evidence, journal],
    )


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
