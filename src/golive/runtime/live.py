"""A run while this process carries it: its journal, its stream, its way to be stopped."""

import asyncio
from collections import Counter
from collections.abc import Callable

from golive.core import outsiders
from golive.core.errors import GoliveError, StoreError
from golive.core.events import OnDisconnect
from golive.runtime.interrupt import HANDED_OVER, Interruptible
from golive.runtime.journal import RunJournal
from golive.runtime.stream import FrameLog
from golive.tenants.authorize import INSTALLATION


class LiveRuns(dict[tuple[str, str], "LiveRun"]):
    """The runs that are carried here, by tenant and id, counted by tenant. Set and deleted by key alone."""

    def __init__(self) -> None:
        super().__init__()
        self._counts: Counter[str] = Counter()

    def of(self, tenant: str) -> int:
        """How many are the tenant's."""
        return self._counts[tenant]

    def __setitem__(self, key: tuple[str, str], live: "LiveRun") -> None:
        if key not in self:
            self._counts[key[0]] += 1
        super().__setitem__(key, live)

    def __delitem__(self, key: tuple[str, str]) -> None:
        super().__delitem__(key)
        self._counts[key[0]] -= 1
        if not self._counts[key[0]]:
            del self._counts[key[0]]


class LiveRun:
    """Bookkeeping around one loop task."""

    def __init__(self, run: str, on_disconnect: OnDisconnect, grace_s: float, pos: int = 0, epoch: int = 1) -> None:
        """`pos`: how long the run's stream is already, where it was taken over under `epoch`."""
        self.run = run
        self.interruptible = Interruptible()
        self.log = FrameLog(self._unwatched, pos, epoch)
        self.journal: RunJournal
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the acceptance is durable; holds the error when it could not be made so."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when this process carries the run no more."""
        self._on_disconnect = on_disconnect
        self._grace_s = grace_s
        self._timer: asyncio.TimerHandle | None = None
        self.lost = False
        """Whether another server has the run, by the store's word."""
        self.on_lost: Callable[[str], None] | None = None

    @property
    def goes_on(self) -> bool:
        """Whether there is such a run, and somebody is to carry it on."""
        accepted = self.accepted.done() and self.accepted.exception() is None
        return accepted and not self.journal.state.at_rest

    def _unwatched(self) -> None:
        if self._on_disconnect == "cancel" and not self.log.closed:
            self._forget_timer()
            self._timer = asyncio.get_running_loop().call_later(self._grace_s, self._abandon)

    def look_for_readers(self) -> None:
        """Of a run that was taken over: its readers have the same time to come back as if they had left now."""
        if not self.log.watched():
            self._unwatched()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _abandon(self) -> None:
        self._timer = None
        if not self.log.watched() and not self.log.closed:
            self.interruptible.interrupt("disconnected")

    async def accept(self) -> None:
        """Makes the acceptance durable and tells whoever asked for the run."""
        await self.journal.flush()
        self.tell_accepted()

    def tell_accepted(self) -> None:
        if not self.accepted.done():
            self.accepted.set_result(None)

    def close(self, error: GoliveError | None) -> None:
        """Ends the stream here: with the run's end, where there is one, or with the error that kept it from becoming
        durable."""
        self._forget_timer()
        if not self.accepted.done():
            self.accepted.set_exception(error or StoreError("the run ended before it was accepted"))
            self.accepted.exception()
        if error is None and self.journal.state.finished is None:
            self.log.close_to_journal()
        elif error is None:
            self.log.close()
        else:
            state = self.journal.state
            ours = state.tenant == INSTALLATION
            self.log.fail(state.epoch, error, error if ours else outsiders.told(error))

    def let_go(self) -> None:
        """Another server has the run: what it does here is stopped, and readers find it in the journal."""
        if not self.lost:
            self.lost = True
            if self.on_lost is not None:
                self.on_lost(self.run)
            self.close_to_journal()
            self.interruptible.interrupt(HANDED_OVER)

    def close_to_journal(self) -> None:
        """The run ends, or goes on, elsewhere: readers find that in the journal."""
        self._forget_timer()
        self.log.close_to_journal()
