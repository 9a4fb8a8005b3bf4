"""Does the cheap tier's word count, and is a doubt the strong tier's? For agents that have `[routing]`."""

from typing import Any, NamedTuple

import msgspec

from golive.checklist.registry import check
from golive.checklist.results import Evidence, Finding, Result
from golive.checklist.target import Target, need_agent
from golive.checklist.twin import Twin
from golive.core.money import usd_text
from golive.sim.script import FOREVER, Script

SIMPLE = '{"route":"direct","sure":true}'
UNSURE = '{"route":"direct","sure":false}'
GOOD = '{"complete":true,"backed":true,"sure":true}'
UNBACKED = '{"complete":true,"backed":false,"sure":true}'
DOUBTED = '{"complete":true,"backed":true,"sure":false}'
NONSENSE = "It looks fine to me."
DRAFT = "We have seventeen ferries, and every one of them is red."
ANSWER = "The ferry leaves the northern pier at seven."
WORDS = "You are welcome. " * 10
"""Every answer is this, so that only prices tell the tiers apart."""
FILLER = "and the harbour is quiet tonight "
"""What makes a conversation long."""
SUMMARY = "They spoke of a quiet harbour."
FACT = "My booking is HB-2041. "
SHORT = "Which pier was it?"
SLACK_S = 10.0
"""By so much a turn may take longer than it should: a second of a busy machine."""
QUESTION = "And when does it leave?"


ALIKE = "the two tiers share their first targets, so that nobody can tell which one answered"


class _Seen(NamedTuple):
    """A run of one turn: how it ended, where it was sent, who answered, what it cost and what of that routing did."""

    outcome: str
    routed: list[str]
    answered: list[str]
    microusd: int
    routing_microusd: int
    priced: bool
    seconds: float
    """What it took, on the server's clock."""
    evidence: list[Evidence]


@check(
    "RT-5.routing",
    row="RT-5",
    title="The supervisor keeps simple turns on the cheap tier; in doubt, or when it is out or hangs, the strong tier "
    "answers",
    phase="cost",
    severity="major",
    needs={"inject", "clock", "golive", "agent"},
    where="fast",
    remediation="Name two tiers of different price in [routing] of agent.toml.",
)
async def routing(target: Target) -> Result:
    """Four turns: the supervisor is sure, is unsure, does not answer, and says nothing for ever."""
    agent = target.twin.loaded.agents[need_agent(target)].config
    found = Finding(
        "direct on the cheap tier; unsure, out and hanging on the strong tier, which need not wait long; the first for "
        "less money"
    )
    if agent.routing.supervisor is None:
        return found.unknown("the agent has no [routing]: one tier answers everything")
    cheap, strong = agent.models[agent.routing.supervisor].chain, agent.models[agent.routing.strong].chain
    if _alike(cheap, strong):
        return found.unknown(ALIKE)
    twin = await target.twin.fast()
    sure = await _turn(twin, cheap, SIMPLE)
    unsure = await _turn(twin, cheap, UNSURE)
    out = await _turn(twin, cheap, Script(refuse=True))
    hangs = await _turn(twin, cheap, Script(hang_ms=FOREVER))
    for seen in (sure, unsure, out, hangs):
        for each in seen.evidence:
            found.saw(each)
    alone = unsure.microusd - unsure.routing_microusd
    found.measured = (
        f"sure: {sure.routed} answered by {sure.answered}; unsure: {unsure.routed} by {unsure.answered}; "
        f"out: {out.routed} by {out.answered}; hanging: {hangs.routed} by {hangs.answered} in {hangs.seconds:.1f} s; "
        f"{usd_text(sure.microusd)} instead of {usd_text(alone)}"
    )
    faults = [
        f"{what}: {fault}"
        for what, seen, tier, first in (("sure", sure, "direct", cheap[0]), ("unsure", unsure, "strong", strong[0]),
                                        ("out", out, "strong", strong[0]), ("hanging", hangs, "strong", strong[0]))
        for fault in _faults(seen, tier, first)
    ]  # fmt: skip
    if hangs.seconds > agent.routing.wait_s + out.seconds + SLACK_S:
        faults.append(f"hanging: it took {hangs.seconds:.1f} s, and not {agent.routing.wait_s:g} s (routing.wait_s)")
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


async def _turn(twin: Twin, cheap: tuple[str, ...], decision: str | Script) -> _Seen:
    """One turn; the supervisor decides, or its targets do with every request as the script says."""
    await twin.reset()
    evidence = [await twin.simulator.play(Script(text=WORDS))]
    if isinstance(decision, Script):
        evidence.append(await twin.simulator.play(decision, models=cheap))
    else:
        # The last where the agent judges; else it is never asked for.
        evidence += [await _once(twin, cheap[0], text) for text in (decision, WORDS, GOOD)]
    began = twin.clock.monotonic()
    reply, run = await twin.run("Thank you!")
    seconds = (twin.clock.monotonic() - began) * twin.speed
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
        seconds,
        [*evidence, journal],
    )


async def _once(twin: Twin, model: str, text: str) -> Evidence:
    """The model's next answer but for those that were scripted before is `text`."""
    return await twin.simulator.play(Script(text=text), times=1, models=(model,))


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _alike(cheap: tuple[str, ...], strong: tuple[str, ...]) -> bool:
    return cheap[0] in strong or strong[0] in cheap


class _Shown(NamedTuple):
    """A streamed run whose answer was judged: the answer, whether the draft was anywhere in the stream, how it went."""

    text: str
    draft_seen: bool
    outcome: str
    verdicts: list[str]
    evidence: list[Evidence]


@check(
    "RT-5.judging",
    row="RT-5",
    title="What the cheap tier answers is shown once it was judged, and an answer that is doubted never",
    phase="cost",
    severity="major",
    needs={"inject", "clock", "golive", "agent"},
    where="fast",
    remediation="Show nothing of an answer before its verdict; on any word but a clear yes let the strong tier answer.",
)
async def judging(target: Target) -> Result:
    """Five turns: the judge accepts, misses a backing, is unsure, talks nonsense, does not answer."""
    agent = target.twin.loaded.agents[need_agent(target)].config
    found = Finding("an accepted answer is shown once; of any other not one character, and the strong tier answers")
    if agent.routing.supervisor is None or not agent.routing.judge:
        return found.unknown(
            "the agent has no judge ([routing] judge): the cheap tier's answers are shown as they come"
        )
    cheap, strong = agent.models[agent.routing.supervisor].chain, agent.models[agent.routing.strong].chain
    if _alike(cheap, strong):
        return found.unknown(ALIKE)
    if agent.limits.max_steps < 2:
        return found.unknown("with a single step (limits.max_steps) the strong tier answers everything")
    twin = await target.twin.fast()
    faults, told = [], []
    for what, verdict in (("good", GOOD), ("unbacked", UNBACKED), ("unsure", DOUBTED), ("nonsense", NONSENSE),
                          ("out", None)):  # fmt: skip
        seen = await _judged(twin, cheap, verdict)
        for each in seen.evidence:
            found.saw(each)
        told.append(f"{what}: {seen.verdicts}, shown “{seen.text}”")
        due = DRAFT if verdict == GOOD else ANSWER
        if seen.text != due:
            faults.append(f"{what}: the user was shown “{seen.text}”, and not “{due}”")
        elif seen.draft_seen and verdict != GOOD:
            faults.append(f"{what}: the stream held the answer that was not accepted")
        if len(seen.verdicts) != 1:
            faults.append(f"{what}: the journal holds {len(seen.verdicts)} verdicts")
    found.measured = "; ".join(told)
    return found.failed("; ".join(faults)) if faults else found.passed()


async def _judged(twin: Twin, cheap: tuple[str, ...], verdict: str | None) -> _Shown:
    """One turn that the supervisor keeps; `verdict` None: the judge's targets refuse every connection."""
    await twin.reset()
    evidence = [await twin.simulator.play(Script(text=ANSWER))]
    if verdict is None:
        evidence.append(await twin.simulator.play(Script(refuse=True), models=cheap))
    texts = (SIMPLE, DRAFT) if verdict is None else (SIMPLE, DRAFT, verdict)
    evidence += [await _once(twin, cheap[0], text) for text in texts]
    run, answer = "", {}
    async with twin.stream("POST", f"/v1/agents/{twin.agent}/runs", {"input": "Thank you!", "stream": True}) as stream:
        async for event in stream.events():
            if event.event == "run.accepted":
                run = str(msgspec.json.decode(event.data).get("run"))
            elif event.event == "run.finished":
                answer = msgspec.json.decode(event.data)
        reply = stream.reply()
    evidence.append(twin.http.evidence(reply))
    journal, events = await twin.journal(run)
    verdicts = [str(event["body"].get("reason")) for event in events if event["kind"] == "step.judged"]
    return _Shown(
        str(answer.get("text")), DRAFT.encode() in reply.body, str(answer.get("outcome")), verdicts,
        [*evidence, journal],
    )  # fmt: skip


@check(
    "RT-5.summarising",
    row="RT-5",
    title="A long conversation is condensed once for the strong tier; without a summary it gets all of it",
    phase="cost",
    severity="major",
    needs={"inject", "clock", "golive", "agent"},
    where="fast",
    remediation="Put the summary in the place of whole earlier runs, keep the newest as they are; on failure send all.",
)
async def summarising(target: Target) -> Result:
    """Two conversations of four turns, of which the first is long: the summariser answers, and it is out."""
    agent = target.twin.loaded.agents[need_agent(target)].config
    found = Finding("with a summary the strong tier is sent it and the newest turns; without, every word; once each")
    over = agent.routing.summarise_over
    if agent.routing.supervisor is None or over is None:
        return found.unknown("the agent condenses no history ([routing] summarise_over)")
    cheap, strong = agent.models[agent.routing.supervisor].chain, agent.models[agent.routing.strong].chain
    if _alike(cheap, strong):
        return found.unknown(ALIKE)
    twin = await target.twin.fast()
    long = FACT + FILLER * (over // len(FILLER) + 1)
    faults, told = [], []
    for what, script in (("condensed", Script(text=SUMMARY)), ("out", Script(refuse=True))):
        await twin.reset()
        found.saw(await twin.simulator.play(Script(text=ANSWER)))
        found.saw(await twin.simulator.play(script, models=cheap))
        conversation = f"check-{what}-{twin.clock.now():.3f}"
        sent, made = [], []
        for text in (long, SHORT, QUESTION, QUESTION):
            await twin.simulator.forget()
            reply, run = await twin.run(text, conversation_id=conversation)
            journal, events = await twin.journal(str(run.get("run")))
            found.saw(twin.http.evidence(reply))
            found.saw(journal)
            made.append([event["body"] for event in events if event["kind"] == "history.summarised"])
            sent.append("".join((await twin.simulator.bodies(strong[0]))[-1:]))
        told.append(f"{what}: {', '.join(f'{len(body):,}' for body in sent)} bytes were sent to {strong[0]}")
        faults += [f"{what}: {fault}" for fault in _history_faults(sent, made, condensed=what == "condensed")]
    found.measured = "; ".join(told)
    return found.failed("; ".join(faults)) if faults else found.passed()


def _history_faults(sent: list[str], made: list[list[dict[str, Any]]], *, condensed: bool) -> list[str]:
    """What is wrong with the requests to the strong tier in the conversation's turns, and with its summaries."""
    faults = []
    for number, body in enumerate(sent[2:], 3):
        for name, text in (("the question", QUESTION), ("the turn before it", SHORT)):
            if text not in body:
                faults.append(f"in turn {number} the strong tier was not sent {name}")
        if condensed and (SUMMARY not in body or FILLER * 3 in body):
            faults.append(f"in turn {number} the strong tier was sent the long turn, and not its summary")
        if not condensed and (FILLER * 3 not in body or FACT not in body):
            faults.append(f"in turn {number} the strong tier was not sent the long turn, which nobody had condensed")
    tries = [len(bodies) for bodies in made]
    if tries != ([0, 0, 1, 0] if condensed else [0, 0, 1, 1]):
        faults.append(f"the four turns were condensed {tries} times")
    return faults
