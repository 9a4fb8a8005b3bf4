"""Ending a run from its durable events alone, under a new epoch: what a crash left open, or a fault of the store.

The version that the run began with may be gone; then the words are the English ones. Whoever wrote to the run before is
fenced off. What was noted and did not become durable is not known here; the call to
a model that was under way then counts as one whose cost nobody knows.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

from golive.core.clock import Clock
from golive.core.errors import GoliveError, InternalError, StoreUnavailable
from golive.core.events import Body, DecisionMade, Event, ModelFailed, RunFinished, encode_body
from golive.runtime.degrading import message, missing
from golive.runtime.journal import Announce, Observer, unannounced
from golive.runtime.shown import decision_of, view_of, void_decisions
from golive.runtime.state import RunState
from golive.runtime.step import Finish
from golive.runtime.words import Messages
from golive.store.ports import DecisionRow, Lease, OutboxMessage, Store

ENGLISH: Messages = {}
MAX_EVENTS = 100_000
"""Most events of one run that are read at once."""
RETRY_S = 1.0
"""Between two attempts while the store cannot be written."""


class Ender:
    """Ends runs in one store, for one holder."""

    def __init__(
        self, store: Store, clock: Clock, holder: str, observer: Observer, announce: Announce = unannounced
    ) -> None:
        self._store = store
        self._clock = clock
        self._holder = holder
        self._observer = observer
        self._announce = announce

    async def end(self, tenant: str, run: str, finish: Callable[[RunState], Finish], why: str) -> bool:
        """Takes the run over and ends it, unless it has ended; whether this did it. `why`: see `end_held`.

        Raises:
            StoreError: it could not be ended; nothing was written.
        """
        lease = await self._store.acquire(tenant, run, self._holder)
        return lease is not None and await self.end_held(lease, finish, why)

    async def end_held(
        self, lease: Lease, finish: Callable[[RunState], Finish], why: str, *, first: Sequence[Body] = (),
        messages: Messages = ENGLISH,
    ) -> bool:  # fmt: skip
        """Ends a run that this process holds. Raises as `end`.

        Args:
            why: told of a call that was under way.
            first: comes before the end.
            messages: the agent's words, where it is still there.
        """
        tenant, run = lease.tenant, lease.run
        state = RunState.of(await self._store.tenant(tenant).events(run, 0, MAX_EVENTS))
        if state.finished is not None:
            return False
        expected, now = state.seq, self._clock.now()
        answered = [body.id for body in first if isinstance(body, DecisionMade)]
        void = void_decisions(state, now, answered)
        bodies = [*first, *void, *_bodies(state, finish(state), why, now, messages)]
        events: list[Event] = []
        outbox: list[OutboxMessage] = []
        decisions: list[DecisionRow] = []
        for seq, body in enumerate(bodies, expected + 1):
            state.apply(seq, lease.epoch, now, body)
            events.append(Event(tenant, run, seq, lease.epoch, "", state.version, now, body.kind, encode_body(body)))
            outbox += self._announce(state, body)
            if isinstance(body, DecisionMade):
                decisions.append(decision_of(state, body))
        await self._store.append(
            lease, expected, events, outbox=outbox, views=(view_of(state),), decisions=decisions, at_rest=True
        )
        self._observer(state, bodies)
        return True

    async def end_failed(self, tenant: str, run: str, error: Exception) -> None:
        """Ends a run as `failed` whose own journal `error` has closed.

        Raises:
            StoreError: it could not be ended; nothing was written.
        """
        code = error.code if isinstance(error, GoliveError) else InternalError.code
        why = "The journal could not be written: what the call used is not known."
        await self.end(tenant, run, lambda state: Finish("failed", code, "internal", message=_FAULT), why)

    async def end_failed_in_time(self, tenant: str, run: str, error: Exception) -> None:
        """The same, once the store can be written again, however long that takes."""
        while True:
            with suppress(StoreUnavailable):
                await self.end_failed(tenant, run, error)
                return
            await asyncio.sleep(RETRY_S)


_FAULT = "Something went wrong on our side, and I could not finish; what was kept of my answer stays."


def _bodies(state: RunState, finish: Finish, why: str, now: float, messages: Messages) -> list[Body]:
    bodies: list[Body] = []
    call = state.attempt
    if call is not None:
        bodies.append(ModelFailed(call.step, call.attempt, call.target, finish.reason, why, priced=False))
    bodies.append(
        RunFinished(
            finish.outcome,
            finish.reason,
            message(finish, state, messages),
            usage=state.usage,
            cost_microusd=state.cost_microusd,
            steps=state.steps,
            duration_ms=round((now - state.created_at) * 1000, 3),
            usage_estimated=state.estimated,
            missing=missing(finish, state),
        )
    )
    return bodies
