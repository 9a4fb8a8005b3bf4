"""After a restart: runs that the last process left open are ended as `failed` (`interrupted`), their text kept."""

from golive.core.clock import Clock
from golive.core.errors import StoreUnavailable
from golive.runtime.ending import Ender
from golive.runtime.journal import Announce, Observer, unannounced
from golive.runtime.loop import FaultLog, ended_by
from golive.store.ports import Store

_AT_ONCE = 100
_WHY = "The server ended during the call: what it used is not known."


async def end_open_runs(
    store: Store, clock: Clock, holder: str, observer: Observer, faults: FaultLog, announce: Announce = unannounced
) -> list[str]:
    """Takes over each open run under a new epoch and ends it; returns their ids.

    A run whose journal cannot be read goes to `faults` and stays open: it must not keep the others from being served.
    """
    ender = Ender(store, clock, holder, observer, announce)
    ended: list[str] = []
    await store.end_others(holder)
    while leases := await store.claim(holder, (), _AT_ONCE, 0.0):
        for lease in leases:
            try:
                if await ender.end_held(lease, lambda state: ended_by("interrupted", state), _WHY):
                    ended.append(lease.run)
            except StoreUnavailable:
                raise
            except Exception as error:
                faults(lease.run, error)
    return ended
