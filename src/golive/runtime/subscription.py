"""A subscriber's way through a run: out of the journal, then live where the run is carried, without gap or repetition.

Where nobody carries the run, or another server does, the journal is followed as it grows.
"""

import asyncio
from collections.abc import Callable

from msgspec import Raw

from golive.core.errors import GoliveError
from golive.core.events import Event
from golive.core.frames import RESET, Cursor, Frame
from golive.runtime.ending import MAX_EVENTS
from golive.runtime.journal import BLOCK_CHARS
from golive.runtime.live import LiveRun
from golive.runtime.stream import FrameLog, LiveSubscription, Replay, frames_after
from golive.store.ports import Store

MOST_AHEAD = 4 * BLOCK_CHARS
"""Characters that a server may have shown before they are durable, and room for what it shows meanwhile."""
LOOK_S = 1.0
"""How often one that follows a journal looks whether the server is about to end."""


class Source:
    """Where one run's frames come from. `live`: the runs that are carried here, by tenant and id.
    `draining`: whether this server is about to end, and so do the streams that follow journals."""

    def __init__(
        self, store: Store, live: dict[tuple[str, str], LiveRun], draining: Callable[[], bool], tenant: str, run: str
    ) -> None:
        self._store = store
        self._live = live
        self.draining = draining
        self._key = (tenant, run)

    def live(self) -> FrameLog | None:
        """The live end of its stream; None: it is not carried here now."""
        live = self._live.get(self._key)
        return live.log if live is not None else None

    async def events(self, after_seq: int) -> list[Event]:
        """Its durable events behind that one."""
        tenant, run = self._key
        return await self._store.tenant(tenant).events(run, after_seq, MAX_EVENTS)

    async def changed(self, after_seq: int, timeout_s: float) -> None:
        """Returns when it may have more of them, or be carried here, or when the time is over."""
        await self._store.changed(*self._key, after_seq, timeout_s)


class Subscription:
    """One reader of one run."""

    def __init__(self, source: Source, cursor: Cursor) -> None:
        self._source = source
        self._cursor = cursor
        self._pos = 0
        self._live: LiveSubscription | None = None
        self._last_pos = 0
        self._caught_up = False
        self._replay: Replay | None = None
        """Of the journal, while nobody carries the run here."""
        self._over = False
        self._attach()

    @property
    def failure(self) -> GoliveError | None:
        """Why the stream ended without the run's end."""
        return self._live.failure if self._live is not None else None

    async def next(self, timeout_s: float) -> list[Frame] | None:
        """The next frames: [] when nothing came within `timeout_s` (send a heartbeat), None when the stream is over."""
        while not self._over:
            live = self._live
            if live is None:
                frames = await self._from_journal(timeout_s)
                if frames is not None:
                    return frames
            elif not self._caught_up:
                if frames := await self._catch_up():
                    return frames
            elif live.lagging:
                self._cursor, self._caught_up = Cursor(self._cursor.epoch, self._pos), False
            elif frames := [rest for frame in live.take() if (rest := frame.after(self._pos)) is not None]:
                return self._told(frames)
            elif live.over:
                self._leave(live)
            else:
                await live.wait(timeout_s)
                if not live.ready:
                    return []
        return None

    def close(self) -> None:
        """Leaves; the last subscriber of an interactive run that leaves sets its disconnect policy going."""
        if self._live is not None:
            self._live.close()
        self._over = True

    # ---- live --------------------------------------------------------------------------------------------------------

    def _attach(self) -> None:
        log = self._source.live()
        if log is None or log.elsewhere or log.epoch < self._cursor.epoch:
            return  # of an older epoch: this server was taken for dead, and does not know it yet
        self._live, self._last_pos, self._replay = log.subscribe(), log.last_pos, None
        self._caught_up = self._cursor.pos == 0 and not self._live.lagging

    def _leave(self, live: LiveSubscription) -> None:
        """The live end is closed: the run is over, or goes on elsewhere."""
        if not live.elsewhere:
            self._over = True
            return
        live.close()
        self._live, self._cursor = None, Cursor(self._cursor.epoch, self._pos)

    async def _catch_up(self) -> list[Frame]:
        """Everything durable behind the cursor; the rest comes live."""
        assert self._live is not None
        live = self._live
        live.skip_dropped()
        replay = Replay()
        frames = replay.take(await self._source.events(0))
        self._caught_up = True
        if replay.epoch > live.epoch:  # another server has gone on with the run
            live.close()
            self._live, self._replay = None, replay
        elif live.epoch > self._cursor.epoch and self._ahead(replay):
            # Who carries the run now has written nothing yet, and the one before writes no more: the rest was lost.
            return self._told([_reset(live.epoch, replay.pos)])
        return self._told(self._missing(frames))

    # ---- out of the journal ------------------------------------------------------------------------------------------

    async def _from_journal(self, timeout_s: float) -> list[Frame] | None:
        """What the journal has; None: look again, for the run may be carried here by now."""
        replay = self._replay
        if replay is None:
            self._replay = replay = Replay()
            events = replay.take(await self._source.events(0))
            frames = [] if self._ahead(replay) else self._missing(events)
        else:
            frames = await self._further(replay)
        self._over = replay.finished
        if frames or self._over:
            return self._told(frames)
        loop, before = asyncio.get_running_loop(), replay.seq
        until = loop.time() + timeout_s
        while (left := until - loop.time()) > 0 and not self._source.draining():
            await self._source.changed(before, min(left, LOOK_S))
            self._attach()
            if self._live is not None:
                return None
            frames = await self._further(replay)
            if frames or replay.seq > before:
                return self._told(frames)
        self._over = self._source.draining()
        return []

    async def _further(self, replay: Replay) -> list[Frame]:
        """What came since the last look."""
        stands = replay.pos
        return list(frames_after(replay.take(await self._source.events(replay.seq)), self._cursor, stands))

    def _ahead(self, replay: Replay) -> bool:
        """Whether the cursor stands in text that another server has shown, and that is not durable yet."""
        return (
            not replay.finished
            and self._cursor.epoch == replay.epoch
            and 0 < self._cursor.pos - replay.pos <= MOST_AHEAD
        )

    def _missing(self, frames: list[Frame]) -> list[Frame]:
        """Those of the run's frames, from its first, that the cursor has not seen."""
        cursor = self._cursor
        if cursor.pos > max(self._last_pos, frames[-1].pos if frames else 0) and not (
            frames and frames[-1].epoch > cursor.epoch
        ):
            first = frames[0].epoch if frames else 1  # not a place of this stream: begin again, and say so
            return [_reset(first, 0), *frames_after(frames, Cursor())]
        return list(frames_after(frames, cursor))

    def _told(self, frames: list[Frame]) -> list[Frame]:
        self._pos = frames[-1].pos if frames else max(self._pos, self._cursor.pos)
        if frames:
            self._cursor = Cursor(frames[-1].epoch, self._pos)
        return frames


def _reset(epoch: int, pos: int) -> Frame:
    return Frame(epoch, pos, "", "status", RESET, Raw(b'{"pos":%d}' % pos))
