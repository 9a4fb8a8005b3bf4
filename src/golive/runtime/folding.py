"""A journal's views, event by event: for whoever checks the list of runs against it."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from golive.core.events import Event, decode_body
from golive.runtime.shown import view_of
from golive.runtime.state import RunState
from golive.store.ports import RunView


def views(events: Sequence[Event]) -> Iterator[Callable[[], RunView]]:
    """After each event, what gives the run's view as of there."""
    state: RunState | None = None
    for event in events:
        if state is None:
            state = RunState(event.tenant, event.run, event.version)
        state.apply(event.seq, event.epoch, event.at, decode_body(event))
        yield partial(view_of, state)
