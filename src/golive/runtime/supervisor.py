"""What the cheap tier does besides answering: says where a turn goes, judges its own answer, condenses the past.

Each is one call whose words are shown to nobody. Whatever goes wrong with it, the strong tier answers, and knows all:
so each is tried once, and waited for briefly, and a tier that gave no answer is asked nothing more in the run.
"""

from collections.abc import Callable

from msgspec.structs import replace

from golive.core.events import HistorySummarised, StepJudged, StepRouted
from golive.core.messages import Message, ToolSpec
from golive.memory.history import Past
from golive.models.call import CallContext, Metered, ModelRequest
from golive.runtime import judging, summarising
from golive.runtime.agent import AgentVersion
from golive.runtime.aside import AsideCall, Said
from golive.runtime.interrupt import Interruptible
from golive.runtime.journal import RunJournal
from golive.runtime.judging import Verdict, judged
from golive.runtime.routing import Decision, Routing, beforehand, decided, question

Context = Callable[[Callable[[Metered], None], float], CallContext]
"""The context of a call, told what becomes of the meter's figure if the call is given up, and after how many seconds
that is at the latest."""
SUMMARY_WAITS = 4
"""A summary may take so many times as long as a decision: it is longer."""


class Supervisor:
    """Carries out a run's `[routing]`.

    Args:
        max_steps: the run's limit: the last step is never an answer that might be refused.
        headers: as the run's own calls have them.
    """

    def __init__(
        self,
        agent: AgentVersion,
        routing: Routing,
        journal: RunJournal,
        interruptible: Interruptible,
        context: Context,
        max_steps: int,
        headers: tuple[tuple[str, str], ...],
    ) -> None:
        self._agent = agent
        self._routing = routing
        self._journal = journal
        self._state = journal.state
        self._interruptible = interruptible
        self._context = context
        self._max_steps = max_steps
        self._headers = headers
        self._out = False

    async def route(self, step: int) -> StepRouted:
        """Where the step goes: the supervisor is asked once a run, before the first.

        Raises:
            DeadlineExceeded, Interrupted: the call was given up; that is noted.
        """
        routed = self._state.routed
        if self._routing.judge and step >= self._max_steps and (routed is None or routed.route != "strong"):
            self._note(self._aside(step), step, Decision("strong", "last_step"))
        elif routed is None:
            await self._decide(step)
        routed = self._state.routed
        assert routed is not None, "it is always noted where the turn goes"
        return routed

    def holds(self, routed: StepRouted) -> bool:
        """Whether what the step says is kept back until it is judged."""
        return self._routing.judge and routed.route != "strong"

    def hand_over(self, step: int, reason: str) -> None:
        """From `step` on the strong tier answers."""
        self._out = self._out or reason == "cheap_failed"
        self._note(self._aside(step), step, Decision("strong", reason))

    async def judge(self, before: tuple[Message, ...]) -> None:
        """Has the answer that was held back judged. It is shown, or the strong tier is to answer.

        Raises:
            DeadlineExceeded, Interrupted: the call was given up; that is noted, and nothing is shown.
            StoreError: verdict and answer could not be made durable, which they become together.
        """
        state, step = self._state, self._state.steps
        draft, answer = state.draft, state.last_answer
        assert draft is not None, "only what is held back is judged"
        assert answer is not None, "what is held back is an answer"
        text = draft.text()
        case = judging.case(before, state.messages, text)
        aside = self._aside(step)
        formed = self._agent.tiers[self._agent.default_tier].output_schema is not None
        verdict = judging.beforehand(text, answer.finish_reason, case, formed=formed)
        if verdict is None:
            said = await self._ask(aside, judging.question(case))
            verdict = Verdict(False, "judge_out") if said is None else judged(said.text)
        aside.note(StepJudged(step, verdict.accepted, verdict.reason))
        if verdict.accepted:
            self._journal.text("answer", answer.item, text)
            await self._journal.flush()
        else:
            self.hand_over(step + 1, "judged")

    async def condense(self, step: int, past: Past) -> Past:
        """The past as the strong tier is to be shown it; tried once a run.

        Raises:
            DeadlineExceeded, Interrupted: the call was given up; that is noted.
        """
        over, made = self._routing.summarise_over, self._state.summarised
        if over is None or not (older := past.older(over)):
            return past
        if made is not None:
            return past.condensed(older, made.text) if made.text and made.through == older[-1].run else past
        chars = len(past.summary) + sum(run.chars for run in older)
        aside = self._aside(step)
        said = await self._ask(aside, summarising.question(past.summary, older), SUMMARY_WAITS)
        text = "" if said is None else said.text.strip()
        reason = "summariser_out" if said is None else summarising.fault(text, said.whole, chars)
        kept = "" if reason else text
        aside.note(HistorySummarised(step, kept, older[-1].run, len(older), chars, reason))
        return past if reason else past.condensed(older, kept)

    async def _decide(self, step: int) -> None:
        messages, tools = tuple(self._state.messages), self._agent.toolset.specs
        aside = self._aside(step)
        decision = beforehand(messages)
        if decision is None:
            said = await self._ask(aside, question(messages, tools))
            decision = Decision("strong", "supervisor_out") if said is None else decided(said.text)
        self._note(aside, step, decision)

    async def _ask(self, aside: AsideCall, request: ModelRequest, waits: int = 1) -> Said | None:
        if self._out:
            return None
        call = self._agent.tiers[self._routing.supervisor].aside
        assert call is not None, "a supervisor's tier is made to be asked aside"
        ctx = self._context(aside.abandoned, waits * self._routing.wait_s)
        said = await aside.ask(call, replace(request, headers=self._headers), ctx)
        self._out = said is None
        return said

    def _aside(self, step: int) -> AsideCall:
        return AsideCall(self._journal, self._interruptible, step)

    def _note(self, aside: AsideCall, step: int, decision: Decision) -> None:
        tier = self._routing.strong if decision.route == "strong" else self._routing.supervisor
        aside.note(StepRouted(step, decision.route, tier, decision.reason))


def tools_of(routed: StepRouted, tools: tuple[ToolSpec, ...]) -> tuple[ToolSpec, ...]:
    """The tools that the step is offered."""
    return () if routed.route == "direct" else tools
