"""Do a run's limits hold? A model that calls tools for ever, and a provider that never answers."""

from golive.checklist.drill import in_words
from golive.checklist.http import Unreachable
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target, need_agent
from golive.sim.script import FOREVER, Script, ToolUse

NO_SUCH_TOOL = "golive_check_no_such_tool"
"""What the scripted model calls: no agent has it, so that nothing of the user's is carried out."""
MOST_STEPS = 40
"""An agent's higher limit is not waited for; the request then sets this one, and the check says so."""
DEADLINE_S = 1.0
MARGIN_S = 1.5
"""What a run may take beyond its deadline until its answer is here."""
GIVE_UP_S = 3.0
"""Beyond deadline and margin, we stop waiting."""


@check(
    "RT-3.step-cap",
    row="RT-3",
    title="A model that always calls tools is stopped at the agent's step limit, as partial",
    phase="serving",
    severity="blocker",
    needs={"inject", "golive", "agent"},
    remediation="Set limits.max_steps in agent.toml, and let the loop count each model call against it.",
    references=("OWASP LLM10:2025 Unbounded Consumption",),
)
async def step_cap(target: Target) -> Result:
    """The provider's own count of requests must not exceed the limit, and the run must say that it is partial."""
    need_agent(target)
    simulator = target.twin.simulator
    limit = int((await target.card())["max_steps"])
    shortened = limit > MOST_STEPS
    fields = {"max_steps": MOST_STEPS} if shortened else {}
    cap = min(limit, MOST_STEPS)
    found = Finding(f"{cap} model calls, outcome partial, and words for the user")
    found.saw(await simulator.play(Script(tool_calls=(ToolUse(NO_SUCH_TOOL),), always_tools=True)))
    await simulator.forget()
    reply, run = await target.run("Please go on until you are done.", **fields)
    asked = await simulator.asked() - _supervised(target)
    found.saw(target.http.evidence(reply, f"the provider counted {asked} requests"))
    found.measured = f"{asked} model calls, outcome {run.get('outcome')}, reason {run.get('reason')}"
    if asked > cap:
        return found.failed(f"{asked - cap} model calls beyond the limit")
    if asked < cap:
        return found.failed(f"the run ended after {asked} calls, before its limit")
    if run.get("outcome") != "partial" or not run.get("message"):
        return found.failed("the run does not say that it is partial, and why")
    if shortened:
        return found.warned(f"shortened: tried with {MOST_STEPS} steps instead of the agent's {limit}")
    return found.passed()


def _supervised(target: Target) -> int:
    """Calls that are no step: the supervisor's one, where the agent has `[routing]`."""
    return int(target.twin.loaded.agents[need_agent(target)].config.routing.supervisor is not None)


@check(
    "RT-1.deadline",
    row="RT-1",
    title="With a provider that hangs, a run ends within its deadline, with words for the user",
    phase="resilience",
    severity="blocker",
    needs={"inject", "golive", "agent"},
    remediation="Hand the run's one deadline down to every model and tool call, and let none extend it.",
)
async def deadline(target: Target) -> Result:
    """The provider accepts the request and says nothing, for ever."""
    need_agent(target)
    longest = DEADLINE_S + MARGIN_S
    found = Finding(f"{DEADLINE_S:g} s and at most {MARGIN_S:g} s more; partial or failed, with a message")
    found.saw(await target.twin.simulator.play(Script(hang_ms=FOREVER)))
    try:
        reply, run = await target.run(target.question("Hello?"), deadline_s=DEADLINE_S, timeout_s=longest + GIVE_UP_S)
    except Unreachable as error:
        if not error.fields.get("timed_out"):
            raise
        found.measured = f"more than {longest + GIVE_UP_S:g} s"
        return found.failed(f"no answer within {longest + GIVE_UP_S:g} s")
    found.saw(target.http.evidence(reply))
    outcome, message, text = run.get("outcome"), str(run.get("message") or ""), str(run.get("text") or "")
    found.measured = (
        f"{outcome} ({run.get('reason')}) after {reply.seconds:.2f} s; {in_words(text, message)}; in real time"
    )
    if reply.seconds > longest:
        return found.failed(f"the run ended {reply.seconds - DEADLINE_S:.1f} s after its deadline")
    if outcome not in ("partial", "failed"):
        return found.failed(f"the run ended as {outcome}, though nothing was answered")
    if not message or "Traceback" in message:
        return found.failed("the user is told nothing that a user understands")
    return found.passed()
