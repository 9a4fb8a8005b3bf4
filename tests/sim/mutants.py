"""Known bugs, put back on purpose: each must be caught by a checker, or the world proves nothing.

`python -m tests.sim.mutants` tries each on seed after seed until somebody objects, and prints the table of README.md.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple
from unittest.mock import patch

from msgspec.structs import replace

from golive.core.breaker import Breaker
from golive.core.errors import ModelError
from golive.core.events import RunFinished, TextReset
from golive.core.frames import Frame
from golive.models.transport_http import HttpTransport
from golive.runtime import carrier
from golive.runtime.effects import NOT_KNOWN, Effects
from golive.runtime.holding import Holding
from golive.runtime.interrupt import Interruptible
from golive.runtime.journal import RunJournal
from golive.runtime.perform import Effect
from golive.runtime.state import RunState
from golive.runtime.step import Finish, after_error
from golive.runtime.stream import LiveSubscription
from golive.runtime.subscription import Subscription
from golive.runtime.undoing import Undoing
from golive.runtime.webhooks import Sender
from golive.store.sqlite import group, work
from golive.store.sqlite.store import SqliteStore
from golive.store.sqlite.tenant import SqliteTenant
from tests.sim.plan import plan
from tests.sim.processes import current
from tests.sim.whose import TENANTS
from tests.sim.world import World

MOST_SEEDS = 40


class Mutant(NamedTuple):
    """A bug: what it is, who may catch it, and how it is put back."""

    name: str
    caught_by: tuple[str, ...]
    bug: Callable[[], AbstractContextManager[Any]]


class Verdict(NamedTuple):
    """Who caught a mutant, at which seed; `checker` "" where nobody did."""

    checker: str
    seeds: int
    words: str


def _wrapped(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: patch.object(owner, name, wrap(getattr(owner, name)))


def _nothing(*_: Any, **__: Any) -> None: ...


async def _nothing_async(*_: Any, **__: Any) -> None: ...


def _twice(begin: Any) -> Any:
    async def begin_twice(self: Any, effect: Any) -> Any:
        await begin(self, effect)
        return await begin(self, effect)

    return begin_twice


async def _again_whatever(self: Any, effect: Any, repeats: int) -> Any:
    return await self._begin(effect)


def _again_though_lost(outcome: Any) -> Any:
    async def repeated(self: Any, started: Any, result: str, lost: bool, deadline: Any) -> Any:
        found = await outcome(self, started, result, False, deadline)
        return await outcome(self, started, result, False, deadline) if found.error_code == NOT_KNOWN else found

    return repeated


@contextmanager
def _cut_off() -> Iterator[None]:
    def impatient(self: Interruptible, reason: str, **_: Any) -> None:
        interrupt(self, reason)

    interrupt = Interruptible.interrupt
    with patch.object(Interruptible, "interrupt", impatient), patch.object(Effects, "settle", _nothing_async):
        yield


async def _never_mind_the_choice(self: Any, effect: Any, made: Any) -> Any:
    return await self._begin(effect)


def _without_resets(note: Any) -> Any:
    def forgetful(self: Any, body: Any, *more: Any) -> None:
        if not isinstance(body, TextReset):
            note(self, body, *more)

    return forgetful


def _never_ends(note: Any) -> Any:
    def forgetful(self: Any, body: Any, *more: Any) -> None:
        if not (isinstance(body, RunFinished) and self.state.run[-1] in "0123"):
            note(self, body, *more)

    return forgetful


def _noted_twice(note: Any) -> Any:
    def note_and_pay_twice(self: Any, body: Any, metered: Any = None) -> None:
        note(self, body, metered)
        if metered is not None:
            self._ledger.append(self._ledger[-1])

    return note_and_pay_twice


def _shown_at_once(note: Any) -> Any:
    def note_and_show(self: Any, body: Any, *more: Any) -> None:
        note(self, body, *more)
        while self.log is not None and self._frames:
            self.log.publish(self._frames.pop(0))

    return note_and_show


async def _intent_in_memory(self: Any, started: Any) -> None:
    self._journal.note(started)


def _fenced_by_seq_alone(take: Any) -> Any:
    def careless(connection: Any, firsts: Any, last: Any) -> bool:
        leases = {key: job.lease for key, job in firsts.items()}
        for (tenant, run), job in firsts.items():
            row = connection.execute("SELECT epoch FROM leases WHERE tenant = ? AND run = ?", (tenant, run)).fetchone()
            if row is not None:
                job.lease = replace(job.lease, epoch=row[0])
        stands: bool = take(connection, firsts, last)
        for key, job in firsts.items():
            job.lease = leases[key]  # who is refused is still told the truth; for the contrary see `_never_fenced`
        return stands

    return careless


def _never_fenced(why_not: Any) -> Any:
    def conflict(lease: Any, expected_seq: int, epoch: Any, seq: Any, holder: Any) -> Any:
        return why_not(lease, expected_seq, epoch and lease.epoch, seq, holder)

    return conflict


def _row_skipped(tail: Any) -> Any:
    async def skipping(self: Any, after: str, limit: int = 1_000) -> Any:
        events, cursor = await tail(self, after, limit)
        return (events[:-1] if len(events) > 5 else events), cursor

    return skipping


def _anybodys_past(past: Any) -> Any:
    async def everybodys(store: Any, conversation: str, but: str, **how: Any) -> Any:
        for tenant in TENANTS:
            theirs = type(store)(store._store._link.tenant(tenant), store._keys)
            found = await past(theirs, conversation, but, **how)
            if found.runs:
                return found
        return found

    return everybodys


def _outbox_lost(append: Any) -> Any:
    async def forgetful(self: Any, *args: Any, **more: Any) -> None:
        if len(args[2]) > 3:
            more["outbox"] = ()
        await append(self, *args, **more)

    return forgetful


def _first_frame_lost(take: Any) -> Any:
    def losing(self: Any) -> Any:
        frames = take(self)
        return frames[1:] if len(frames) > 2 else frames

    return losing


def _shown_again(after: Any) -> Any:
    def again(self: Frame, pos: int) -> Any:
        return self if self.pos == pos and not self.is_text else after(self, pos)

    return again


def _stale_log(attach: Any) -> Any:
    def attach_anyway(self: Any) -> None:
        log = self._source.live()
        if log is not None and not log.elsewhere:
            self._live, self._last_pos, self._replay = log.subscribe(), log.last_pos, None
            self._caught_up = True

    return attach_anyway


def _cut_is_whole(error: Any, state: RunState, deadline_s: float) -> Finish:
    if isinstance(error, ModelError) and state.answer:
        return Finish("completed", "done")
    return after_error(error, state, deadline_s)


def _impatient(admit: Any) -> Any:
    def at_once(self: Any, now: float) -> Any:
        self._opened_at = -1e9 if self.state == "open" else self._opened_at
        return admit(self, now)

    return at_once


@contextmanager
def _impatient_breaker() -> Iterator[None]:
    with patch.object(Breaker, "admit", _impatient(Breaker.admit)), patch.object(Breaker, "wait_s", lambda *_: 0.0):
        yield


def _old_view(write: Any) -> Any:
    async def without_view(self: Any) -> None:
        if self.state.finished is not None and len(self._events) > 2:
            self._view_due = False
        await write(self)

    return without_view


@contextmanager
def _key(make: Callable[[Effect], str]) -> Iterator[None]:
    with patch.object(Effect, "key", property(make)):
        yield


def _sql(name: str, old: str, new: str) -> Callable[[], AbstractContextManager[Any]]:
    text: str = getattr(work, name)
    assert old in text, f"{name} has changed"
    return lambda: patch.object(work, name, text.replace(old, new))


MUTANTS: tuple[Mutant, ...] = (
    Mutant("an effect is begun twice", ("effects",), _wrapped(Effects, "_begin", _twice)),
    Mutant(
        "an effect of unknown outcome is begun again, whatever its tool declares", ("effects",),
        _wrapped(Effects, "_settled", lambda _: _again_whatever),
    ),
    Mutant("an undo that may have been carried out is repeated", ("undone",),
           _wrapped(Undoing, "_outcome", _again_though_lost)),
    Mutant("a call under way is cut off by a cancel with undo, and not taken back", ("undone",), _cut_off),
    Mutant(
        "what a person decided about an effect is not looked at", ("effects",),
        _wrapped(Effects, "_decided", lambda _: _never_mind_the_choice),
    ),
    Mutant(
        "one idempotency key stands for all effects of a step", ("effects", "faults", "ends"),
        lambda: _key(lambda effect: f"{effect.run}/{effect.branch}/{effect.step}"),
    ),
    Mutant(
        "each server makes idempotency keys of its own", ("effects", "faults"),
        lambda: _key(lambda effect: f"{effect.run}/{effect.branch}/{effect.ordinal}/{getattr(current(), 'name', '')}"),
    ),
    Mutant("an effect begins before its intent is durable", ("effects",),
           _wrapped(Effects, "intend", lambda _: _intent_in_memory)),
    Mutant("the outcome of an effect is not journalled", ("effects", "ends", "world", "faults"),
           _wrapped(Effects, "conclude", lambda _: _nothing_async)),
    Mutant("some runs end without their last event", ("ends",),
           _wrapped(RunJournal, "note", _never_ends)),
    Mutant("an epoch that is over fences nobody", ("fence",), _wrapped(group, "_take_guards", _fenced_by_seq_alone)),
    Mutant("who is fenced off is told of a conflict, and so takes the run back", ("ends", "faults"),
           _wrapped(group, "why_not", _never_fenced)),
    Mutant("a living server's runs are claimed", ("fence",),
           _sql("_ORPHANS", "AND coalesce(holders.until, leases.at) <= ?2\n", "\n")),
    Mutant("a takeover raises no epoch", ("fence", "journal", "effects", "streams", "ends", "faults", "text"),
           _sql("_TAKE", "epoch = epoch + 1", "epoch = epoch")),
    Mutant("what lost answers leave behind is not looked for", ("ends",),
           _wrapped(Holding, "_find_lost", lambda _: _nothing_async)),
    Mutant("every run counts as at rest", ("ends", "journal"),
           lambda: patch.object(RunState, "at_rest", property(lambda state: True))),
    Mutant("a reader of all runs skips a row", ("tail",), _wrapped(SqliteTenant, "tail", _row_skipped)),
    Mutant("a conversation is everybody's who knows its name", ("crossing",),
           _wrapped(carrier, "past", _anybodys_past)),
    Mutant("an outbox message is lost", ("webhooks",), _wrapped(SqliteStore, "append", _outbox_lost)),
    Mutant("webhooks are not settled", ("webhooks",),
           _wrapped(Sender, "_write", lambda _: _nothing_async)),
    Mutant("a retracted text is not taken back", ("text", "whole", "streams"),
           _wrapped(RunJournal, "note", _without_resets)),
    Mutant("a model call is paid twice in the ledger", ("money",), _wrapped(RunJournal, "note", _noted_twice)),
    Mutant("events are shown before they are durable", ("told", "streams", "text"),
           _wrapped(RunJournal, "note", _shown_at_once)),
    Mutant("a live frame is lost", ("streams",), _wrapped(LiveSubscription, "take", _first_frame_lost)),
    Mutant("a frame is shown again after a reconnect", ("streams",), _wrapped(Frame, "after", _shown_again)),
    Mutant("a stale server's live text is mixed in", ("streams", "text"),
           _wrapped(Subscription, "_attach", _stale_log)),
    Mutant("an answer that broke off is completed", ("whole",),
           lambda: patch("golive.runtime.loop.after_error", _cut_is_whole)),
    Mutant("an open breaker lets everybody through", ("breakers",), _impatient_breaker),
    Mutant("the row that lists show is not renewed at the end", ("views", "money"),
           _wrapped(RunJournal, "_write", _old_view)),
    Mutant("connections to providers stay open", ("leaks",),
           _wrapped(HttpTransport, "close", lambda _: _nothing_async)),
    Mutant("lines of webhooks go on after the end", ("leaks",), _wrapped(Sender, "close", lambda _: _nothing_async)),
)  # fmt: skip


def hunt(mutant: Mutant, first: int = 1, most: int = MOST_SEEDS) -> Verdict:
    """Tries seed after seed until a checker objects."""
    with mutant.bug():
        for seed in range(first, first + most):
            violations = World(plan(seed)).run().violations
            if violations:
                return Verdict(violations[0].checker, seed - first + 1, str(violations[0]))
    return Verdict("", most, "nobody objected")


def main(arguments: list[str]) -> int:
    """The table; 1 where somebody got away."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.mutants")
    parser.add_argument("--only", default="", help="those whose name contains this")
    parser.add_argument("--words", action="store_true", help="what the checker said")
    given = parser.parse_args(arguments)
    escaped = 0
    print("| bug | caught by | schedules |\n|---|---|---|")
    for mutant in MUTANTS:
        if given.only not in mutant.name:
            continue
        began = time.monotonic()
        verdict = hunt(mutant)
        right = verdict.checker in mutant.caught_by
        escaped += not right
        caught_by = (verdict.checker or "nobody") + ("" if right else " (!)")
        print(f"| {mutant.name} | {caught_by} | {verdict.seeds} |", flush=True)
        if given.words:
            print(f"    {time.monotonic() - began:.1f} s: {verdict.words[:200]}")
    return min(1, escaped)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
