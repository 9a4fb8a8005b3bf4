"""What golive does of its own accord, put together: telling webhooks, beginning runs by the clock."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from golive.config.schema import GoliveConfig
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import SecretMissing, StoreError
from golive.core.events import Body, DecisionRequested, RunFinished
from golive.core.ids import Ids
from golive.core.tasks import Tasks
from golive.models.transport import Transport
from golive.runtime.announce import Announcer
from golive.runtime.api import RunResult
from golive.runtime.post import Post, signing_key
from golive.runtime.schedulers import Schedulers
from golive.runtime.schedules import Start
from golive.runtime.state import RunState
from golive.runtime.webhooks import Sender
from golive.store.ports import Store
from golive.telemetry.logs import Log
from golive.telemetry.outward import OutwardMetrics
from golive.tenants.authorize import INSTALLATION

COUNT_S = 15.0
"""How often the oldest message of each webhook is looked up, for the metric."""


async def tenants_of(store: Store) -> list[str]:
    """The tenants of which there may be rows. Raises StoreError."""
    return sorted({INSTALLATION, *(row.tenant for row in await store.all_tenants())})


class Outward:
    """Of one server. `announce` goes into every journal."""

    def __init__(
        self, *, store: Store, config: Callable[[], GoliveConfig], start: Start,
        result: Callable[[RunState], RunResult], transport: Transport, resolve: Callable[[str], str],
        redact: Callable[[str], str], clock: Clock, chance: Chance, ids: Ids, metrics: OutwardMetrics, log: Log,
        paused: Callable[[str], bool] = lambda tenant: False,
    ) -> None:  # fmt: skip
        """Takes what it uses; nothing is begun yet.

        Args:
            config: the settings as they are now.
            start: begins a run under an id, once.
            transport: closed with this.
            resolve: the value of a reference to a secret; raises ConfigError.
            redact: takes credentials out of a text.
            paused: whether nothing is begun and told of a tenant for now: it is suspended.
        """
        self._store = store
        self._config = config
        self._resolve = resolve
        self._transport = transport
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._tasks = Tasks("outward")
        self._oldest: dict[str, float] = {}
        self.announce = Announcer(lambda: config().webhooks, result, clock, ids)
        self.post = Post(transport, resolve, redact, clock)
        self.sender = Sender(
            store=store, post=self.post, webhooks=lambda: config().webhooks, clock=clock, chance=chance,
            metrics=metrics, log=log, paused=paused,
        )  # fmt: skip
        self.scheduler = Schedulers(
            store=store, start=start, schedules=lambda: config().schedules, clock=clock, metrics=metrics, log=log,
            paused=paused,
        )  # fmt: skip

    def check(self) -> None:
        """Looks whether messages can be signed. A secret that is missing is told, and may come later.

        Raises:
            ConfigError: a secret is none for signatures.
        """
        for name, webhook in self._config().webhooks.items():
            for key, reference in (("secret", webhook.secret), ("old_secret", webhook.old_secret)):
                if reference is None:
                    continue
                try:
                    signing_key(f"webhooks.{name}.{key}", reference, self._resolve)
                except SecretMissing as error:
                    self._log.warning(
                        "secret.missing", webhook=name, setting=f"webhooks.{name}.{key}", message=error.message,
                        remedy=error.remedy,
                    )  # fmt: skip

    def start(self) -> None:
        """Begins to send and to look after schedules."""
        self._metrics.follow_due(self._ages)
        self._tasks.start(self._count(), "count")
        self.sender.start()
        self.scheduler.start()

    def adopt(self) -> None:
        """The settings have changed."""
        self.sender.adopt()
        self.scheduler.adopt()

    def observe(self, bodies: Sequence[Body]) -> None:
        """These have just become durable, and with them what is to be told of them."""
        if any(isinstance(body, RunFinished | DecisionRequested) for body in bodies):
            self.sender.wake()

    async def drain(self) -> None:
        """Begins no more runs; goes on telling of those that end."""
        await self.scheduler.close()

    async def close(self) -> None:
        """Ends all of it; what was not told is told after the next start."""
        await self.scheduler.close()
        await self.sender.close()
        await self._tasks.close()
        await self._transport.close()

    async def _count(self) -> None:
        looked = False
        while True:
            with suppress(StoreError):
                tenants = await tenants_of(self._store)
                if not looked:
                    await self.scheduler.look_after(tenants)
                    looked = True
                oldest: dict[str, float] = {}
                for tenant in tenants:
                    for counted in await self._store.tenant(tenant).delivery_counts("due"):
                        oldest[counted.target] = min(counted.oldest_at, oldest.get(counted.target, counted.oldest_at))
                self._oldest = oldest
            await asyncio.sleep(COUNT_S)

    def _ages(self) -> Mapping[tuple[str, ...], float]:
        now, names = self._clock.now(), {*self._config().webhooks, *self._oldest}
        return {(name,): max(0.0, now - self._oldest.get(name, now)) for name in sorted(names)}
