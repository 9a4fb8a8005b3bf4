"""After a restart: runs that the last process left open are ended as `failed` (`interrupted`), their text kept."""

from golive.core.clock import Clock
from golive.core.errors import StoreUnavailable
from golive.core.events import Body, Event, ModelFailed, RunFinished, encode_body
from golive.runtime.journal import Observer
from golive.runtime.loop import FaultLog, ended_by
from golive.runtime.service import MAX_EVENTS
from golive.runtime.state import RunState
from golive.store.ports import RunView, Store


async def end_open_runs(store: Store, clock: Clock, holder: str, observer: Observer, faults: FaultLog) -> list[str]:
    """Takes over each open run under a new epoch and ends it; returns their ids.

    A run whose journal cannot be read goes to `faults` and stays open: it must not keep the others from being served.
    """
    ended: list[str] = []
    for view in await store.open_runs():
        try:
            if await _end(store, clock, holder, observer, view):
                ended.append(view.run)
        except StoreUnavailable:
            raise
        except Exception as error:
            faults(view.run, error)
    return ended


async def _end(store: Store, clock: Clock, holder: str, observer: Observer, view: RunView) -> bool:
    lease = await store.acquire(view.tenant, view.run, holder)
    if lease is None:
        return False
    state = RunState.of(await store.tenant(view.tenant).events(view.run, 0, MAX_EVENTS))
    if state.finished is not None:
        return False
    expected, now = state.seq, clock.now()
    bodies: list[Body] = []
    if state.attempt is not None:
        message = "The server ended during the call: what it used is not known."
        call = state.attempt
        bodies.append(ModelFailed(call.step, call.attempt, call.target, "interrupted", message, priced=False))
    finish = ended_by("interrupted", state)
    bodies.append(
        RunFinished(
            finish.outcome,
            finish.reason,
            finish.message,
            usage=state.usage,
            cost_microusd=state.cost_microusd,
            steps=state.steps,
            duration_ms=round((now - state.created_at) * 1000, 3),
            usage_estimated=state.estimated,
        )
    )
    events = []
    for seq, body in enumerate(bodies, expected + 1):
        state.apply(seq, lease.epoch, now, body)
        events.append(
            Event(view.tenant, view.run, seq, lease.epoch, "", state.version, now, body.kind, encode_body(body))
        )
    await store.append(lease, expected, events, views=(state.view(),))
    observer(state, bodies)
    return True
