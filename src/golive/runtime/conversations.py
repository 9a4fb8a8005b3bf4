"""Runs of one conversation take turns, in the order they were accepted; the queue is bounded. What was said before."""

import asyncio
from collections import deque

from golive.core.errors import ConversationBusy
from golive.memory.history import HISTORY_CHARS, HISTORY_RUNS, EarlierRun, Past
from golive.runtime.ending import MAX_EVENTS
from golive.runtime.state import RunState
from golive.store.ports import RunFilter, TenantStore


class Turn:
    """A place in one conversation's queue. `ready` is set when it is this run's turn."""

    def __init__(self, key: tuple[str, str], agent: str) -> None:
        self.key = key
        self.agent = agent
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Conversations:
    """Who speaks in each conversation now, and who waits. Holds nothing of conversations at rest."""

    def __init__(self, queue: int) -> None:
        self._queue = queue
        self._turns: dict[tuple[str, str], deque[Turn]] = {}

    def agent(self, tenant: str, conversation: str) -> str | None:
        """Whose turn it is now; None: the conversation rests."""
        turns = self._turns.get((tenant, conversation))
        return turns[0].agent if turns else None

    def enter(self, tenant: str, conversation: str, agent: str, *, bounded: bool = True) -> Turn:
        """Takes the next place; `bounded` False for a run that was accepted long ago.

        Raises:
            ConversationBusy: as many runs wait already as may.
        """
        turns = self._turns.setdefault((tenant, conversation), deque())
        if bounded and len(turns) > self._queue:
            raise ConversationBusy(
                f"{len(turns)} runs are under way or waiting on conversation {conversation!r} already.",
                remedy="Wait for one to finish, or raise server.conversation_queue.",
                field="conversation_id",
                value=conversation,
            )
        turn = Turn((tenant, conversation), agent)
        turns.append(turn)
        if len(turns) == 1:
            turn.ready.set_result(None)
        return turn

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


async def past(store: TenantStore, conversation: str, but: str, *, summarised: bool) -> Past:
    """What the conversation's finished runs said, `but` left out: the newest whole runs that fit, none behind a gap.

    Args:
        summarised: the newest summary stands for the runs that it condensed.

    Raises:
        StoreError: it cannot be read.
    """
    runs: list[EarlierRun] = []
    chars, summary, through = 0, "", ""
    for view in await store.runs(RunFilter(conversation=conversation, state="finished", limit=HISTORY_RUNS)):
        if view.run == but:
            continue
        if view.run == through:
            break
        state = RunState.of(await store.events(view.run, 0, MAX_EVENTS))
        run = EarlierRun(view.run, tuple(state.transcript()))
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
