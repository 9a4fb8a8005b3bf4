"""What people do to runs: cancel, resume, decide, begin again, fork. Wherever a run is carried, or by nobody.

No server sends another one messages: whoever steers a run that is carried elsewhere takes it over and goes on with it.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

from msgspec.structs import replace

from golive.core.clock import Clock
from golive.core.errors import Conflict, Fenced, GoliveError, InvalidRequest, NotFound, RunOpen
from golive.core.events import Body, CancelRequested, DecisionMade, Event, RunAccepted, StepStarted, decode_body
from golive.core.messages import Message
from golive.runtime.api import RunRequest, RunResult
from golive.runtime.carrier import Carrier
from golive.runtime.ending import MAX_EVENTS
from golive.runtime.live import LiveRun
from golive.runtime.shown import VOID
from golive.runtime.state import RunState
from golive.runtime.taken_back import as_it_stands
from golive.store.ports import DecisionRow, Lease, Store

MAX_DECISIONS = 1_000
"""Of one run that are looked through for one."""
QUICKER_S = 2.0
"""How long a server that was quicker to take a run is given to write down what it took it for."""


class Runs(Protocol):
    """What steering needs of the runtime."""

    async def start(self, request: RunRequest, run: str = "") -> str: ...

    async def state(self, tenant: str, run: str) -> RunState: ...

    async def result(self, tenant: str, run: str) -> RunResult: ...

    async def wait(self, tenant: str, run: str) -> RunResult: ...

    async def carried(self, tenant: str, run: str, *, surely: bool = False) -> LiveRun | None: ...


class Steering:
    """See the module."""

    def __init__(self, store: Store, carrier: Carrier, clock: Clock, holder: str, runs: Runs) -> None:
        self._store = store
        self._carrier = carrier
        self._clock = clock
        self._holder = holder
        self._runs = runs

    async def cancel(self, tenant: str, run: str, by: str, reason: str, *, undo: bool = False) -> RunResult:
        """Asks the run to end as `cancelled`, wherever it is carried; its text stays. Finished runs stay as they are.

        Args:
            undo: take back what its tools did and can take back, calls included that are under way: they may end.

        Raises:
            NotFound: the tenant has no such run.
        """
        asked = CancelRequested(by, reason, undo)
        live = await self._runs.carried(tenant, run, surely=True)
        if live is not None and live.journal.state.finished is None:
            live.journal.note(asked)
            live.interruptible.interrupt("cancelled", patient=undo)
            if undo:  # until its calls have ended this server may be killed, and the next one must know
                with suppress(Fenced, Conflict):
                    await live.journal.flush()
            await self._runs.wait(tenant, run)
        elif (await self._runs.state(tenant, run)).finished is None:
            await self._take(tenant, run, lambda state: [] if state.cancel else [asked])
            await self._runs.wait(tenant, run)
        return await self._runs.result(tenant, run)

    async def resume(self, tenant: str, run: str, *, force: bool = False) -> RunResult:
        """Goes on with the run here, whoever holds it; for one whose server hangs. Runs that rest stay as they are.

        Args:
            force: also in the middle of a tool call, whose outcome may be lost by that.

        Raises:
            NotFound: the tenant has no such run.
            RunOpen: another server may be in the middle of one of its tool calls.
        """
        if await self._runs.carried(tenant, run, surely=True) is None:
            state = await self._runs.state(tenant, run)
            if self._store.shared and not force and not state.at_rest:
                _refuse_in_a_call(state)
            if not state.at_rest:
                await self._take(tenant, run, lambda _: [])
        return await self._runs.result(tenant, run)

    async def decide(
        self, tenant: str, run: str, decision: str, choice: str, *, by: str, note: str = "", content: str = ""
    ) -> RunResult:
        """Makes a choice that the run waits for; it goes on here.

        Args:
            content: what the model is told, where the choice is that something was done.

        Raises:
            NotFound: there is no such run, or decision.
            InvalidRequest: it is no choice of that decision.
            Conflict: it is decided already.
        """
        made = DecisionMade(id=decision, choice=choice, at=self._clock.now(), by=by, note=note, content=content)
        try:
            await self._decide(tenant, run, made)
        except (Conflict, Fenced):
            if not await self._stands(tenant, run, made):
                raise
        return await self._runs.result(tenant, run)

    async def _decide(self, tenant: str, run: str, made: DecisionMade) -> None:
        live = await self._runs.carried(tenant, run, surely=True)
        if live is not None:  # other work of the same step is still under way
            _check_choice(live.journal.state, made)
            live.journal.note(made)
            await live.journal.flush()
            return
        _check_choice(await self._runs.state(tenant, run), made)

        def first(state: RunState) -> list[Body]:
            _check_choice(state, made)
            return [made]

        await self._take(tenant, run, first)

    async def _stands(self, tenant: str, run: str, made: DecisionMade) -> bool:
        """Whether this very choice stands after all, its answer only being lost; False: nobody has decided.

        Raises:
            Conflict: somebody else was quicker; it says who, and what.
        """
        state = await self._runs.state(tenant, run)
        if made.id in state.undecided:  # whoever took the run from us is about to write
            await self._store.changed(tenant, run, state.seq, QUICKER_S)
        rows = await self._store.tenant(tenant).decisions(run=run, limit=MAX_DECISIONS)
        row = next((row for row in rows if row.id == made.id), None)
        if row is None or row.choice is None:
            return False
        if (row.choice, row.decided_by, row.decided_at) == (made.choice, made.by, made.at):
            return True
        said = f"{made.id} is decided already: {row.choice}, by {row.decided_by or 'nobody, as its time was over'}."
        if row.choice == VOID:
            said = f"{made.id} is decided already: {VOID}, as the run has ended or goes on without it."
        raise Conflict(said, remedy=_where(run), decision=made.id, choice=row.choice, decided_by=row.decided_by)

    async def expire(self, row: DecisionRow) -> None:
        """Makes the choice that was to be made where nobody makes one in time."""
        try:
            await self.decide(row.tenant, row.run, row.id, row.default, by="")
        except (Conflict, Fenced, NotFound):
            return  # somebody was quicker

    async def take_over(self, lease: Lease) -> None:
        """Goes on with a run that this server has claimed. Raises StoreError."""
        await self._carrier.take_over(lease)

    async def _take(self, tenant: str, run: str, first: Callable[[RunState], list[Body]]) -> None:
        """Takes the run over, and goes on with it here.

        Raises:
            Conflict: another server did the same at the same time.
        """
        lease = await self._store.acquire(tenant, run, self._holder)
        if lease is None:
            raise no_run(run)
        try:
            await self._carrier.take_over(lease, first)
        except Fenced as error:
            raise Conflict(
                f"Run {run} was taken over by another server at the same time.", remedy="Look at it again.", run=run
            ) from error

    async def retry(self, tenant: str, run: str, request: RunRequest) -> str:
        """Begins a new run with the input of this one; `request` says who asks. Returns its id.

        Raises:
            NotFound: the tenant has no such run. Otherwise as `start`.
            RunOpen: this one has not ended, and would do the same beside the new one.
        """
        accepted = await self._begun_as(tenant, run)
        state = await self._runs.state(tenant, run)
        if state.finished is None:
            remedy = f"Cancel it first: `golive runs cancel {run}` (POST /v1/runs/{run}/cancel)."
            said = f"Run {run} is {state.stands}: what its tools do would be done twice."
            raise RunOpen(said, remedy=remedy, run=run, state=state.stands)
        return await self._runs.start(
            replace(
                request, agent=accepted.agent, input=accepted.input, conversation=accepted.conversation,
                metadata=accepted.metadata | request.metadata, user=accepted.user or None, retry_of=run,
            )
        )  # fmt: skip

    async def fork(self, tenant: str, run: str, step: int, request: RunRequest) -> str:
        """Begins a new run that knows what this one knew before its `step`-th turn. Returns its id.

        What this run's tools did before is not done again: their results are in what the new run is told, and which of
        these calls were taken back since. From that turn on tools are called anew, under the new run's keys.

        Raises:
            NotFound: the tenant has no such run.
            InvalidRequest: it has no such step.
            Conflict: what its tools did is just being taken back.
        """
        accepted = await self._begun_as(tenant, run)
        messages = before_step(await self._store.tenant(tenant).events(run, 0, MAX_EVENTS), step)
        return await self._runs.start(
            replace(
                request, agent=accepted.agent, input=tuple(messages), metadata=accepted.metadata | request.metadata,
                user=accepted.user or None, forked_from=run,
            )
        )  # fmt: skip

    async def _begun_as(self, tenant: str, run: str) -> RunAccepted:
        """How the run began, which must be an agent's. Raises NotFound, InvalidRequest."""
        accepted = (await self._runs.state(tenant, run)).known()
        if accepted.source == "relay":
            raise InvalidRequest(
                f"{run} is a plain call to a model, and keeps no content.", remedy="Send the call again.",
                field="run", value=run,
            )  # fmt: skip
        return accepted


def no_run(run: str) -> GoliveError:
    """What to raise where a tenant has no such run."""
    remedy = "List runs with `golive runs list` (GET /v1/runs)."
    return NotFound(f"There is no run {run!r}.", remedy=remedy, field="run", value=run)


def _refuse_in_a_call(state: RunState) -> None:
    """Raises RunOpen where the journal has a call without outcome."""
    begun = [record.started for record in state.effects.values() if record.finished is None]
    if begun:
        calls = ", ".join(f"{started.name} ({started.key})" for started in begun)
        raise RunOpen(
            f"Run {state.run} is in the middle of {calls} at another server, which may be at work: if the run is taken "
            "from it, what comes of the call may not be known.",
            remedy=(
                "If that server has ended, another one goes on by itself within its lease. If it hangs: "
                f"`golive runs resume {state.run} --force` (POST /v1/runs/{state.run}/resume with `force`)."
            ),
            run=state.run, state=state.stands,
        )  # fmt: skip


def _where(run: str) -> str:
    """Where its decisions are."""
    return f"`golive decisions --run {run} --all` (GET /v1/decisions?run={run}) shows it."


def before_step(events: Iterable[Event], step: int) -> list[Message]:
    """The messages that a run's `step`-th turn was asked with, its own input first; and which calls no longer stand.

    Raises:
        InvalidRequest: it has no such turn.
        Conflict: what its tools did is just being taken back.
    """
    state: RunState | None = None
    messages: list[Message] | None = None
    for event in events:
        body = decode_body(event)
        if state is None:
            state = RunState(event.tenant, event.run, event.version)
        if isinstance(body, StepStarted) and body.step == step:
            messages = list(state.messages)
        state.apply(event.seq, event.epoch, event.at, body)
    if state is not None and messages is not None:
        if state.cancel is not None and state.cancel.undo and state.finished is None:
            said = f"Run {state.run} is just being cancelled, and what its tools did taken back."
            raise Conflict(said, remedy="Fork it once it has ended.", run=state.run, state=state.stands)
        return as_it_stands(state, messages)
    last = state.steps if state is not None else 0
    raise InvalidRequest(
        f"the run has no step {step}.", remedy=f"Its steps are 1 to {last}." if last else "It has none yet.",
        field="step", value=step,
    )  # fmt: skip


def _check_choice(state: RunState, made: DecisionMade) -> None:
    asked = state.asked.get(made.id)
    remedy = _where(state.run)
    if asked is None:
        raise NotFound(
            f"Run {state.run} has no decision {made.id!r}.", remedy=remedy.replace("shows it", "shows those it has"),
            field="decision", value=made.id,
        )  # fmt: skip
    if made.id not in state.undecided:
        raise Conflict(f"{made.id} is decided already.", remedy=remedy, decision=made.id)
    if made.choice not in asked.choices:
        raise InvalidRequest(
            f"{made.choice!r} is no choice here.", remedy=f"Choose one of {', '.join(asked.choices)}.",
            field="choice", value=made.choice,
        )  # fmt: skip
