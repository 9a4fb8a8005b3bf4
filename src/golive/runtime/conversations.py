"""Runs of one conversation take turns, in the order they were accepted; the queue is bounded. What was said before."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from golive.memory.history import HISTORY_CHARS, HISTORY_RUNS, EarlierRun, Past
from golive.runtime.ending import MAX_EVENTS
from golive.runtime.state import RunState
from golive.runtime.taken_back import as_it_stands
from golive.store.ports import RunFilter, Store, TenantStore
from golive.store.room import LOOKED_AT, Room, no_room

LOOK_S = 0.25
"""How often a run looks whether another server still carries one of its conversation."""


class Turn:
    """A place in one conversation's queue. `ready` is set when it is this run's turn, `speaks` once it has taken it."""

    def __init__(self, key: tuple[str, str], agent: str, run: str, user: str | None) -> None:
        self.key = key
        self.agent = agent
        self.run = run
        self.user = user
        self.speaks = False
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Conversations:
    """Who speaks in each conversation now, and who waits. Holds nothing of conversations at rest."""

    def __init__(self, queue: int) -> None:
        self._queue = queue
        self._turns: dict[tuple[str, str], deque[Turn]] = {}

    def room(self, conversation: str) -> Room:
        """What a further run of the conversation needs, among all servers."""
        return Room(conversation, self._queue, ("queued", "running"))

    def speaks(self, tenant: str, conversation: str) -> Turn | None:
        """Whose turn it is now; None: the conversation rests."""
        turns = self._turns.get((tenant, conversation))
        return turns[0] if turns else None

    def enter(self, tenant: str, conversation: str, agent: str, run: str, user: str | None = None) -> Turn:
        """Takes the next place.

        Raises:
            ConversationBusy: as many runs wait already as may.
        """
        turns = self._turns.setdefault((tenant, conversation), deque())
        if len(turns) > self._queue:
            raise no_room(conversation, len(turns))
        turn = Turn((tenant, conversation), agent, run, user)
        turns.append(turn)
        if len(turns) == 1:
            turn.ready.set_result(None)
        return turn

    def come_back(
        self, tenant: str, conversation: str, agent: str, run: str, *, begun: bool, user: str | None = None
    ) -> Turn:
        """Takes a place for a run that was accepted before: ahead of later ones, and once it has `begun` of all others,
        but for those that speak."""
        turns = self._turns.setdefault((tenant, conversation), deque())
        turn = Turn((tenant, conversation), agent, run, user)
        ahead = (
            place for place, other in enumerate(turns) if not other.speaks and (begun or other.run >= run)
        )  # its own former turn, too, is let go of
        turns.insert(next(ahead, len(turns)), turn)
        if turns[0] is turn:
            turn.ready.set_result(None)
        return turn

    def speak(self, turn: Turn) -> bool:
        """Takes the turn that it is; False: somebody came back to a place ahead of it, and `ready` is to be awaited."""
        turn.speaks = self._turns[turn.key][0] is turn
        if not turn.speaks:
            turn.ready = asyncio.get_running_loop().create_future()
        return turn.speaks

    def behind(self, turn: Turn) -> frozenset[str]:
        """The runs that wait here for this one's turn to end."""
        turns = list(self._turns[turn.key])
        return frozenset(other.run for other in turns[turns.index(turn) + 1 :])

    async def others_first(self, store: Store, turn: Turn) -> None:
        """Waits for runs of the conversation that other servers carry: those that began before, or speak already."""
        tenant, conversation = turn.key
        where = RunFilter(conversation=conversation, limit=LOOKED_AT)
        while True:
            behind = self.behind(turn)
            for view in await store.tenant(tenant).runs(where):
                if view.run == turn.run or view.run in behind:
                    continue
                if view.state == "running" or (view.state == "queued" and view.run < turn.run):
                    break
            else:
                return
            await asyncio.sleep(LOOK_S)

    async def take(self, turn: Turn, take_turn: Callable[[Room], Awaitable[bool]]) -> bool:
        """Takes the turn among all servers; False, after a while: another one was quicker."""
        if await take_turn(Room(turn.key[1], 0, ("running",))):
            return True
        await asyncio.sleep(LOOK_S)
        return False

    def leave(self, turn: Turn) -> None:
        """Gives the place up, wherever in the queue it is; the next in line is let in."""
        turns = self._turns.get(turn.key)
        if turns is None or turn not in turns:
            return
        turns.remove(turn)
        if not turns:
            del self._turns[turn.key]
        elif not turns[0].ready.done():
            turns[0].ready.set_result(None)


async def past(store: TenantStore, conversation: str, but: str, *, summarised: bool, user: str | None = None) -> Past:
    """What the conversation's finished runs said, `but` left out: the newest whole runs that fit, none behind a gap.

    Args:
        user: whose conversation it is. Two servers that began it at once for two users, before either could know, both
            go on; neither user's words reach the other.
        summarised: the newest summary stands for the runs that it condensed.

    Raises:
        StoreError: it cannot be read.
    """
    runs: list[EarlierRun] = []
    chars, summary, through = 0, "", ""
    for view in await store.runs(RunFilter(conversation=conversation, state="finished", limit=HISTORY_RUNS)):
        if view.run == but or view.user != user:
            continue
        if view.run == through:
            break
        state = RunState.of(await store.events(view.run, 0, MAX_EVENTS))
        run = EarlierRun(view.run, tuple(as_it_stands(state, state.transcript())))
        chars += run.chars
        if chars > HISTORY_CHARS:
            break
        runs.append(run)
        made = state.summarised
        if summarised and not summary and made is not None and made.text:
            summary, through = made.text, made.through
            if any(run.run == through for run in runs):  # it was accepted later, and ended sooner
                break
    return Past(tuple(reversed(runs)), summary)
