"""The server that carries runs, as a run needs to know it."""

from collections.abc import Callable
from typing import NamedTuple

from golive.core.ids import Ids

FaultLog = Callable[[str, BaseException], None]
"""Takes (run, exception) for faults of golive's own, which users are not shown."""


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
