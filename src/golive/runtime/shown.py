"""A run's state as others see it: the rows that lists read, the result that faces show."""

from collections.abc import Iterable

from golive.core.events import DecisionMade, DecisionRequested
from golive.runtime.api import RunResult
from golive.runtime.state import RunState
from golive.store.ports import DecisionRow, RunView

VOID = "void"
"""The choice of a decision that nobody needs any more."""


def view_of(state: RunState) -> RunView:
    """The row that lists read."""
    accepted = state.known()
    done = state.finished
    return RunView(
        tenant=state.tenant,
        run=state.run,
        branch="",
        version=state.version,
        epoch=state.epoch,
        agent=accepted.agent,
        version_name=state.version_name,
        source=accepted.source,
        conversation=accepted.conversation,
        principal=accepted.principal,
        user=accepted.user or None,
        state=state.stands,
        outcome=done.outcome if done else None,
        reason=done.reason if done else None,
        created_at=state.created_at,
        started_at=state.started_at,
        finished_at=state.finished_at,
        steps=state.steps,
        tool_calls=len(state.effects),
        input_tokens=state.usage.input_tokens,
        cached_input_tokens=state.usage.cached_input_tokens,
        output_tokens=state.usage.output_tokens,
        reasoning_tokens=state.usage.reasoning_tokens,
        cost_microusd=state.cost_microusd,
        priced=state.priced,
        estimated=state.estimated,
        cache_write_tokens=state.usage.cache_write_tokens,
        saved_microusd=state.saved_microusd,
    )


def result_of(state: RunState) -> RunResult:
    """The run as its faces show it."""
    accepted = state.known()
    done = state.finished
    return RunResult(
        run=state.run,
        agent=accepted.agent,
        version=state.version,
        version_name=state.version_name,
        conversation=accepted.conversation,
        state=state.stands,
        outcome=done.outcome if done else None,
        reason=done.reason if done else None,
        message=done.message if done else "",
        text=state.answer,
        output=done.output if done else None,
        usage=state.usage,
        cost_microusd=state.cost_microusd,
        priced=state.priced,
        estimated=state.estimated,
        saved_microusd=state.saved_microusd,
        steps=state.steps,
        tool_calls=len(state.effects),
        created_at=state.created_at,
        started_at=state.started_at,
        finished_at=state.finished_at,
        metadata=accepted.metadata,
        missing=done.missing if done else (),
        retry_after_s=done.retry_after_s if done else None,
        schedule=accepted.schedule or None,
        retry_of=accepted.retry_of or None,
        forked_from=accepted.forked_from or None,
        user=accepted.user or None,
        decisions=tuple(state.undecided.values()),
    )


def decision_of(state: RunState, body: DecisionRequested | DecisionMade) -> DecisionRow:
    """The row of a decision that was just asked for, or made."""
    asked = state.asked[body.id]
    made = body if isinstance(body, DecisionMade) else None
    return DecisionRow(
        tenant=state.tenant,
        run=state.run,
        branch="",
        version=state.version,
        epoch=state.epoch,
        id=asked.id,
        about=asked.about,
        subject=asked.subject,
        agent=state.known().agent,
        asked_at=asked.asked_at,
        expires_at=asked.expires_at,
        default=asked.default,
        choice=made.choice if made else None,
        decided_by=made.by if made else None,
        decided_at=made.at if made else None,
    )


def void_decisions(state: RunState, now: float, but: Iterable[str] = ()) -> list[DecisionMade]:
    """What closes the questions of a run that ends before they are answered; those in `but` are answered already."""
    answered = set(but)
    return [DecisionMade(id=asked, choice=VOID, at=now) for asked in state.undecided if asked not in answered]
