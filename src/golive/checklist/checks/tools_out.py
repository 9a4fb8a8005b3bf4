"""Does a run survive the death of a tool, and say what is missing? On the agent's own names and settings of its tools.

No tool of the user's is called, or even imported: in the twin used here stand-ins of the same names die in their place,
in the same worker processes, under the same [tools.NAME].
"""

import asyncio
from typing import Any, NamedTuple

from golive.checklist.checks.degrading import MOST_LANGUAGES, named, settled, variants
from golive.checklist.drill import WORK_S, course, in_words, noted, scale, timed, too_long
from golive.checklist.http import Reply, Unreachable
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.stand_ins import ARGUMENT, Death, Fate
from golive.checklist.target import Target, need_agent
from golive.checklist.twin import Twin
from golive.config.schema import AgentConfig, ToolConfig
from golive.core.errors import ToolRaised, ToolTimeout, WorkerCrashed
from golive.runtime.words import say
from golive.sim.script import Script, ToolUse

CODES: dict[Death, str] = {"raises": ToolRaised.code, "hangs": ToolTimeout.code, "dies": WorkerCrashed.code}
"""By which the run names the tool as missing."""
RESTART_S = 10.0
"""Longest wait for a worker's successor, seconds of the machine, in which processes start as slowly as ever."""
LOOK_S = 0.1
GIVE_UP_S = 5.0
"""Beyond what a run may take, seconds of the machine: then we stop waiting."""


class _Tools(NamedTuple):
    """The agent's tools by name, in order; `critical` of them without whose result no answer is whole."""

    names: list[str]
    critical: list[str]

    @property
    def others(self) -> list[str]:
        return [name for name in self.names if name not in self.critical]


class _Run(NamedTuple):
    """A run in which the model calls one tool, which dies, and then answers."""

    reply: Reply
    body: dict[str, Any]

    @property
    def words(self) -> str:
        return str(self.body.get("message") or "")

    @property
    def missing(self) -> list[tuple[str, str, str]]:
        parts = self.body.get("missing") or []
        return [(str(part.get("kind")), str(part.get("name")), str(part.get("code"))) for part in parts]


async def _tools(target: Target) -> _Tools:
    """As the running twin tells them: who reads tools.py without running it cannot know."""
    settings = _agent(target).tools
    names = [str(tool["name"]) for tool in (await target.card())["tools"]]
    return _Tools(names, [name for name in names if settings.get(name, ToolConfig()).critical])


def _agent(target: Target) -> AgentConfig:
    return target.twin.loaded.agents[need_agent(target)].config


def _impossible(target: Target, tools: _Tools) -> str:
    """Why no tool can be seen to die; empty where one can."""
    if not tools.names:
        return "the agent has no tool that could die"
    if _agent(target).limits.max_steps < 2:
        return "limits.max_steps is 1: the model has no turn left to answer in once a tool has died"
    return ""


async def _fallen(
    twin: Twin, name: str, fate: Fate, *, language: str = "", limit_s: float = 0.0, then: Script | None = None
) -> _Run:
    """`limit_s`: how long the tool may take, seconds of the server's clock. `then`: the model, once it has."""
    call = Script(tool_calls=(ToolUse(name, {ARGUMENT: fate}),))
    await twin.simulator.play(Script(turns=(call, then or Script(text=course(twin).text))))
    fields = {"language": language} if language else {}
    longest_s = limit_s / twin.speed + WORK_S + GIVE_UP_S
    reply, body = await twin.run(twin.question("Please use your tool."), timeout_s=longest_s, **fields)
    return _Run(reply, body)


async def _again(twin: Twin, name: str) -> _Run:
    """The next run that calls the tool; again, as long as there is no new worker."""
    end = twin.clock.monotonic() + RESTART_S
    while True:
        run = await _fallen(twin, name, "raises")
        lost = {code for _, _, code in run.missing} & {CODES["hangs"], CODES["dies"]}
        if not lost or twin.clock.monotonic() >= end:
            return run
        await asyncio.sleep(LOOK_S)


async def _dying(target: Target, tools: _Tools, found: Finding) -> Twin:
    twin = await target.twin.dying(tools.names)
    names = ", ".join(tools.names)
    path = f"agents/{twin.agent}/tools.py"
    text = (twin.folder / path).read_text(encoding="utf-8")
    found.saw(noted(twin, f"{path} of the twin, in which stand-ins are called in place of {names}", text))
    return twin


# ---- what becomes of the run ----------------------------------------------------------------------------------------

_TITLES: dict[Death, str] = {
    "raises": "A tool that raises is left out: the run answers, and names what is missing",
    "hangs": "A tool that never returns is given up at its timeout_s: the run answers, and names what is missing",
    "dies": "A tool that takes its worker down takes nothing else: the run answers, and a new worker stands in",
}


def _register(death: Death) -> None:
    @check(
        f"RT-2.tool-{death}",
        row="RT-2",
        title=_TITLES[death],
        phase="resilience",
        severity="blocker",
        needs={"inject", "clock", "golive", "agent"},
        where="dying",
        remediation="Keep tools in worker processes; set timeout_s of each tool well below limits.deadline_s.",
    )
    async def dies(target: Target) -> Result:
        return await _dies(target, death)


for _death in CODES:
    _register(_death)


async def _dies(target: Target, death: Death) -> Result:
    """One call of a tool that is not critical, where there is such a one; then another, of the worker's successor."""
    tools = await _tools(target)
    found = Finding()
    if why := _impossible(target, tools):
        return found.unknown(why)
    name = (tools.others or tools.critical)[0]
    agent = _agent(target)
    timeout_s = agent.tools.get(name, ToolConfig()).timeout_s
    limit_s = timeout_s if death == "hangs" else 0.0
    outcome = "partial" if name in tools.critical else "completed"
    found.threshold = f"outcome {outcome}, the model's answer whole, {name} missing as {CODES[death]}"
    if death == "hangs":
        found.threshold += f", after {timeout_s:g} s and little more"
        if timeout_s >= agent.limits.deadline_s:
            return found.unknown(
                f"the run's limits.deadline_s ({agent.limits.deadline_s:g} s) is over before tools.{name}.timeout_s "
                f"({timeout_s:g} s): lower the latter"
            )
    twin = await _dying(target, tools, found)
    latest_s = limit_s + WORK_S * twin.speed
    if why := too_long(twin, latest_s):
        return found.unknown(why)
    try:
        run = await _fallen(twin, name, death, limit_s=limit_s)
        over_at = twin.clock.monotonic()
        again = await _again(twin, name)
        restart_s = twin.clock.monotonic() - over_at
    except Unreachable as error:
        found.measured = f"0 of 1 answered: {error.message} {scale(twin)}"
        await twin.restart()
        if error.fields.get("timed_out"):
            return found.failed(f"{name} {death}, and the run is not over in time")
        return found.failed(f"{name} {death}, and the server is gone with it")
    seconds = timed(twin, run.reply)
    found.saw(twin.http.evidence(run.reply, f"{name} {death}; over after {seconds:.1f} s {scale(twin)}"))
    journal, events = await twin.journal(str(run.body.get("run")))
    found.saw(journal)
    found.saw(twin.http.evidence(again.reply, f"the next call of {name}"))
    ended, text = run.body.get("outcome"), str(run.body.get("text") or "")
    found.measured = (
        f"{ended == outcome:d} of 1 answered: {ended} after {seconds:.1f} s, missing {_named(run)}; "
        f"{in_words(text, run.words)}; the tool's next call was over {restart_s:.1f} s later, by this machine's clock; "
        f"all else {scale(twin)}"
    )
    faults = _faults(twin, run, outcome, name, CODES[death])
    last = events[-1] if events else {}
    if not faults and (last.get("kind") != "run.finished" or last["body"].get("missing") != run.body["missing"]):
        faults.append("the journal does not name what is missing")
    if not faults and seconds > latest_s:
        faults.append(f"the run ended {seconds - latest_s:.0f} s too late")
    if not faults and again.missing != [("tool", name, CODES["raises"])]:
        faults.append(f"the next call of {name} was not carried out: missing {_named(again)}")
    return found.failed("; ".join(faults)) if faults else found.passed()


def _faults(twin: Twin, run: _Run, outcome: str, name: str, code: str) -> list[str]:
    faults = []
    if run.body.get("outcome") != outcome:
        faults.append(f"the run ended as {run.body.get('outcome')} ({run.body.get('reason')})")
    text = course(twin).text
    if not run.body.get("text") or (text is not None and run.body["text"] != text):
        faults.append(f"of the model's answer “{run.body.get('text')}” is left")
    if run.missing != [("tool", name, code)]:
        faults.append(f"missing is {_named(run)}, and not {name} ({code})")
    return faults


def _named(run: _Run) -> str:
    return ", ".join(f"{name or kind} ({code})" for kind, name, code in run.missing) or "nothing"


# ---- what the user is told ------------------------------------------------------------------------------------------


@check(
    "RT-14.tool-skipped",
    row="RT-14",
    title="Words for the user, and names for programs: a tool that is not critical gave no result",
    phase="resilience",
    severity="major",
    needs={"inject", "clock", "golive", "agent"},
    where="dying",
    remediation="Let no proxy rewrite bodies; set `tool_skipped` in [messages] of agent.toml.",
)
async def tool_skipped(target: Target) -> Result:
    """The run completes, and says in each of the agent's languages what it does without."""
    tools = await _tools(target)
    why = "" if tools.others else "each tool is critical: RT-14.tool-out tells what becomes of it"
    return await _told(target, tools, "tool_skipped", "completed", tools.others[:1], why)


@check(
    "RT-14.tool-out",
    row="RT-14",
    title="Words for the user, and names for programs: a critical tool gave no result, and no answer is whole",
    phase="resilience",
    severity="major",
    needs={"inject", "clock", "golive", "agent"},
    where="dying",
    remediation="Let no proxy rewrite bodies; set `tool_out` in [messages] of agent.toml.",
)
async def tool_out(target: Target) -> Result:
    """The run ends as partial, and says in each of the agent's languages without what."""
    tools = await _tools(target)
    why = "" if tools.critical else "no tool is critical: where one is, say `critical = true` in its [tools.NAME]"
    return await _told(target, tools, "tool_out", "partial", tools.critical[:1], why)


@check(
    "RT-14.tools-done",
    row="RT-14",
    title="Words for the user: tools were carried out, and then no model answered",
    phase="resilience",
    severity="major",
    needs={"inject", "clock", "golive", "agent"},
    where="dying",
    remediation="Let no proxy rewrite bodies; set `tools_done` in [messages] of agent.toml.",
)
async def tools_done(target: Target) -> Result:
    """The model calls a tool, which works, and then every provider is gone: the run says what it did do."""
    tools = await _tools(target)
    found = Finding("outcome partial, the words for a model that is out, and then what was done, by name")
    if why := _impossible(target, tools):
        return found.unknown(why)
    twin = await _dying(target, tools, found)
    messages, name = _agent(target).messages, tools.names[0]
    faults, told = [], []
    for language in variants(messages)[:MOST_LANGUAGES]:
        run = await _fallen(twin, name, "lives", language=language, then=Script(refuse=True))
        found.saw(twin.http.evidence(run.reply, f"{name} worked, then no model answered {scale(twin)}"))
        ended, reason = run.body.get("outcome"), str(run.body.get("reason"))
        wanted = f"{say(messages, language, 'model_out')} {say(messages, language, 'tools_done', tools=name)}"
        if ended != "partial" or not reason.startswith("model."):
            faults.append(f"{named(language)}the run ended as {ended} ({reason})")
        if run.words != wanted:
            faults.append(f"{named(language)}the user is told “{run.words}” instead of “{wanted}”")
        told.append(f"{named(language)}{ended}, {in_words(str(run.body.get('text') or ''), run.words)}")
        await twin.reset()
    found.measured = f"{'; '.join(told)}; {scale(twin)}"
    return found.failed("; ".join(faults)) if faults else settled(found, messages, "tools_done")


async def _told(target: Target, tools: _Tools, way: str, outcome: str, names: list[str], why: str) -> Result:
    """The first of the tools raises, once for each language of the agent."""
    found = Finding(f"outcome {outcome}, the words for it, and the tool by name")
    if why := _impossible(target, tools) or why:
        return found.unknown(why)
    twin = await _dying(target, tools, found)
    messages, code, name = _agent(target).messages, CODES["raises"], names[0]
    languages, faults, told = variants(messages), [], []
    for language in languages[:MOST_LANGUAGES]:
        run = await _fallen(twin, name, "raises", language=language)
        seconds = timed(twin, run.reply)
        found.saw(twin.http.evidence(run.reply, f"{name} raised; over after {seconds:.1f} s {scale(twin)}"))
        wrong = _faults(twin, run, outcome, name, code)
        wanted = say(messages, language, way, tools=name)
        if run.words != wanted:
            wrong.append(f"the user is told “{run.words}” instead of “{wanted}”")
        faults += [f"{named(language)}{fault}" for fault in wrong]
        told.append(
            f"{named(language)}{run.body.get('outcome')} after {seconds:.1f} s, missing {_named(run)}, "
            f"{in_words(str(run.body.get('text') or ''), run.words)}"
        )
    found.measured = f"{'; '.join(told)}; {scale(twin)}"
    if faults:
        return found.failed("; ".join(faults))
    return settled(found, messages, way)
