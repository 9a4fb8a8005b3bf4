"""Ends what is open of tenants and users that are not let in any more.

Every server ends what it carries itself, as soon as its directory has learned of it; so does whoever takes a run over
later. What nobody carries, since it waits for a person's decision, is ended by whichever server comes first.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from golive.core.clock import Clock
from golive.core.errors import GoliveError
from golive.core.tasks import Tasks
from golive.runtime.live import LiveRun
from golive.runtime.relay_call import RelayCall
from golive.runtime.step import BY_GOLIVE
from golive.store.ports import RunFilter, Store
from golive.store.tenancy import TenantRow

PAGE = 200
"""Waiting runs that are read at once."""
AGAIN_S = 5.0
"""How long after a run could not be ended it is tried again."""

Why = Callable[[str, str | None], str | None]


class Standing(Protocol):
    """What is asked of the directory of tenants."""

    def tenants(self) -> list[TenantRow]: ...
    def out(self) -> frozenset[tuple[str, str]]: ...
    def barred(self, tenant: str, user: str | None = None) -> str | None: ...


class Runs(Protocol):
    """What is asked of the runtime."""

    def followed(self) -> Mapping[tuple[str, str], LiveRun]: ...


class Calls(Protocol):
    """What is asked of the relay."""

    def bar(self, barred: Why) -> list[RelayCall]: ...


class Cancel(Protocol):
    """Ends a run, wherever it is carried."""

    async def __call__(self, tenant: str, run: str, by: str, reason: str) -> Any: ...


class Barring:
    """One server's; `look` is called often.

    Args:
        ended: told of each run that was ended: tenant, user, run, why.
        failed: told of each that could not be ended now.
    """

    def __init__(
        self, *, store: Store, standing: Standing, runs: Runs, calls: Calls, cancel: Cancel, clock: Clock,
        ended: Callable[[str, str | None, str, str], None], failed: Callable[[str, BaseException], None],
    ) -> None:  # fmt: skip
        self._store = store
        self._standing = standing
        self._runs = runs
        self._calls = calls
        self._cancel = cancel
        self._clock = clock
        self._ended = ended
        self._failed = failed
        self._ending: set[tuple[str, str]] = set()
        self._swept: frozenset[tuple[str, str | None]] = frozenset()
        """Those whose waiting runs were ended."""
        self._sweep_at = float("-inf")
        self._closed = False
        self._tasks = Tasks("barring")

    async def close(self) -> None:
        """Ends nothing more."""
        self._closed = True
        await self._tasks.close()

    def look(self) -> None:
        """Begins to end what is open here and may not go on; and, of whom is newly out, what waits for a decision."""
        out = frozenset() if self._closed else self._out()
        if not out:
            self._swept = frozenset()
            return
        for (tenant, run), live in self._runs.followed().items():
            accepted = live.journal.state.accepted
            user = (accepted.user or None) if accepted is not None else None
            if (tenant, run) not in self._ending and (why := self._standing.barred(tenant, user)) is not None:
                self._end(tenant, user, run, why)
        for call in self._calls.bar(self._standing.barred):
            assert call.barred is not None
            self._ended(call.tenant, call.user, call.run, call.barred)
        if (fresh := out - self._swept) and self._clock.monotonic() >= self._sweep_at:
            self._swept = out
            self._tasks.start(self._sweep(sorted(fresh, key=str)), "waiting runs")
        self._swept &= out

    def _out(self) -> frozenset[tuple[str, str | None]]:
        """Tenants (with no user), and users, that are not let in."""
        tenants = [row.tenant for row in self._standing.tenants() if row.state != "active"]
        users: frozenset[tuple[str, str | None]] = frozenset(self._standing.out())
        return users.union((tenant, None) for tenant in tenants)

    async def _sweep(self, fresh: Iterable[tuple[str, str | None]]) -> None:
        for tenant, user in fresh:
            try:
                await self._sweep_one(tenant, user)
            except GoliveError as error:
                self._failed(tenant, error)
                self._swept -= {(tenant, user)}
                self._sweep_at = self._clock.monotonic() + AGAIN_S

    async def _sweep_one(self, tenant: str, user: str | None) -> None:
        """Ends the runs that wait for a person. Raises StoreError."""
        before: str | None = None
        while True:
            where = RunFilter(state="waiting", user=user, before=before, limit=PAGE)
            views = await self._store.tenant(tenant).runs(where)
            for view in views:
                why = self._standing.barred(tenant, view.user)
                if why is not None and (tenant, view.run) not in self._ending:
                    self._end(tenant, view.user, view.run, why)
            if len(views) < PAGE:
                return
            before = views[-1].run

    def _end(self, tenant: str, user: str | None, run: str, why: str) -> None:
        self._ending.add((tenant, run))
        self._tasks.start(self._end_one(tenant, user, run, why), run)

    async def _end_one(self, tenant: str, user: str | None, run: str, why: str) -> None:
        try:
            result = await self._cancel(tenant, run, BY_GOLIVE, why)
            if result.reason == why:
                self._ended(tenant, user, run, why)
        except GoliveError as error:  # another server was quicker, or the store is away: it is looked at again
            self._failed(run, error)
        finally:
            self._ending.discard((tenant, run))
