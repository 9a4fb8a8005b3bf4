"""The server that carries runs, as a run needs to know it, and what is set for all of its runs."""

from collections.abc import Callable
from typing import NamedTuple

from golive.core.ids import Ids

FaultLog = Callable[[str, BaseException], None]
"""Takes (run, exception) for faults of golive's own, which users are not shown."""


Admits = Callable[[str, str | None], None]
"""Takes the tenant and the user of what is about to begin; raises Suspended or TenantLimited where it may not."""


def admits_all(tenant: str, user: str | None) -> None:
    """Where there is no directory of tenants."""


class Place(NamedTuple):
    """`generation` is the installation's; `begin_by` tells until when, on the clock's monotonic scale, this server
    surely holds its runs: nothing that has an effect is begun later. `alone`: there is no other server, so that whoever
    began an effect before is gone, and its worker with it. `lapses`: how often the hold was unsure so far; each time
    others may have taken runs, so that of each run it has to be learned anew whether it is ours."""

    holder: str
    generation: int
    ids: Ids
    faults: FaultLog
    begin_by: Callable[[], float]
    alone: bool = False
    lapses: Callable[[], int] = lambda: 0


class RuntimeSettings:
    """Named maxima and graces, from [server].

    `store_patience_s`: how long a run waits for a store that cannot be written. `moves_on`: whether a run whose version
    is gone goes on with the one that answers now, unasked (`golive dev`).
    """

    def __init__(
        self,
        *,
        holder: str,
        max_open_runs: int,
        conversation_queue: int,
        disconnect_grace_s: float,
        store_patience_s: float = 0.0,
        moves_on: bool = False,
    ) -> None:
        self.holder = holder
        self.max_open_runs = max_open_runs
        self.conversation_queue = conversation_queue
        self.disconnect_grace_s = disconnect_grace_s
        self.store_patience_s = store_patience_s
        self.moves_on = moves_on
