"""After a restart: runs that the last process left open are ended as `failed` (`interrupted`), their text kept."""

from golive.core.clock import Clock
from golive.core.events import Event, RunFinished, encode_body
from golive.runtime.loop import ended_by
from golive.runtime.service import MAX_EVENTS
from golive.runtime.state import RunState
from golive.store.ports import Store


async def end_open_runs(store: Store, clock: Clock, holder: str) -> list[str]:
    """Takes over each open run under a new epoch and ends it; returns their ids."""
    ended: list[str] = []
    for view in await store.open_runs():
        lease = await store.acquire(view.tenant, view.run, holder)
        if lease is None:
            continue
        events = await store.tenant(view.tenant).events(view.run, 0, MAX_EVENTS)
        state = RunState.of(events)
        if state.finished is not None:
            continue
        finish = ended_by("interrupted", state)
        body = RunFinished(
            finish.outcome,
            finish.reason,
            finish.message,
            None,
            state.usage,
            state.cost_microusd,
            state.steps,
            round((clock.now() - state.created_at) * 1000, 3),
        )
        event = Event(
            view.tenant,
            view.run,
            state.seq + 1,
            lease.epoch,
            "",
            state.version,
            clock.now(),
            body.kind,
            encode_body(body),
        )
        state.apply(event.seq, event.epoch, event.at, body)
        await store.append(lease, event.seq - 1, [event], views=(state.view(),))
        ended.append(view.run)
    return ended
