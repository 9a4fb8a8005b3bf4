"""Tells webhooks what stands in the outbox: at least once, each at its own pace, whatever becomes of the others.

Every webhook has a line of its own that takes its due messages under a lease, so no two servers send one at once. A
server that dies between sending and saying so leaves the message leased; it is sent again under the same id. Owns when
and whether; what one attempt is, `post.py` says.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from golive.config.outward import WebhookConfig
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import StoreError
from golive.core.tasks import Tasks, uncancelled
from golive.runtime.post import GOOD_BYE_S, Attempt, Post
from golive.store.ports import Delivery, Store
from golive.telemetry.logs import Log
from golive.telemetry.outward import OutwardMetrics
from golive.tenants.roles import covers

AT_ONCE = 8
"""Messages under way to one webhook."""
POLL_S = 1.0
"""How often a line looks for messages whose time has come, or that another server has left."""
MARGIN_S = 5.0
"""How much longer a message is leased than one attempt takes: time to write down what came of it."""
STORE_RETRY_S = 2.0
"""Between two attempts to ask a store that cannot be asked."""
STRANGERS_S = 60.0
"""How often messages are looked for whose webhook is not in the configuration."""
FORGET_S = 86_400.0
"""How long such messages are kept due: another server, or the next configuration, may know the webhook."""
CLOSE_S = 1.0
"""How long attempts under way may take when the server ends."""
JITTER = 0.2
PAUSED_S = 60.0
"""How long messages of a tenant that is suspended rest before they are looked at again."""
REST_S = 300.0
"""The longest that a whole line rests because of a Retry-After; the message that met it waits as long as it says."""

Webhooks = Callable[[], Mapping[str, WebhookConfig]]


class Sender:
    """All lines of one server."""

    def __init__(
        self,
        *,
        store: Store,
        post: Post,
        webhooks: Webhooks,
        clock: Clock,
        chance: Chance,
        metrics: OutwardMetrics,
        log: Log,
        paused: Callable[[str], bool] = lambda tenant: False,
    ) -> None:
        """`webhooks`: those there are now, by name. `paused`: whether nothing of a tenant goes out for now."""
        self._store = store
        self._post = post
        self._webhooks = webhooks
        self._clock = clock
        self._chance = chance
        self._metrics = metrics
        self._log = log
        self._paused = paused
        self._store_fails = False
        """Whether that was told: once for all webhooks, until the store answers again."""
        self._lines: dict[str, _Line] = {}
        self._tasks = Tasks("webhooks")

    def start(self) -> None:
        """Begins to send."""
        self._tasks.start(self._strangers(), "strangers")
        self.adopt()

    def adopt(self) -> None:
        """Begins a line for each webhook that is new, and ends those of webhooks that are gone."""
        for name in self._webhooks():
            if name not in self._lines:
                line = self._lines[name] = _Line(name, self)
                self._tasks.start(line.run(), name)
        for name in [name for name in self._lines if name not in self._webhooks()]:
            self._lines.pop(name).wake()

    def wake(self) -> None:
        """There may be something to send: a run has just ended."""
        for line in self._lines.values():
            line.wake()

    async def close(self) -> None:
        """Takes nothing more, gives attempts under way a moment, and leaves the rest to be sent at the next start."""
        for line in self._lines.values():
            line.closing = True
        under_way = [task for line in self._lines.values() for task in line.under_way]
        if under_way:
            await asyncio.wait(under_way, timeout=CLOSE_S)
        await self._tasks.close()

    async def _strangers(self) -> None:
        """Messages whose webhook nobody configures any more are given up after a day."""
        while True:
            with suppress(StoreError):
                for found in await self._store.claim_messages(STRANGERS_S, 100, but=tuple(self._webhooks())):
                    error = f"there is no webhook {found.target!r} in the configuration"
                    now = self._clock.now()
                    if now - found.at > FORGET_S:
                        await self._store.settle_message(found.tenant, found.id, "dead", error)
                        self.told("dead", found, Attempt("failed", error=error))
                    else:
                        later_s = 10 * STRANGERS_S
                        await self._store.settle_message(found.tenant, found.id, "due", error, later_s, attempted=False)
            await asyncio.sleep(STRANGERS_S)

    # ---- what a line asks

    def settings(self, name: str) -> WebhookConfig | None:
        """The webhook as it is configured now; None: it is gone."""
        return self._webhooks().get(name)

    async def claim(self, name: str, webhook: WebhookConfig, limit: int) -> list[Delivery] | None:
        """Due messages to the webhook, leased for one attempt; None: the store cannot be asked."""
        try:
            found = await self._store.claim_messages(webhook.timeout_s + GOOD_BYE_S + MARGIN_S, limit, only=name)
            self._store_fails = False
            return found
        except StoreError as error:
            if not self._store_fails:
                self._log.warning("webhook.store_failed", webhook=name, code=error.code, message=str(error))
            self._store_fails = True
        except Exception as error:
            self._log.error("webhook.fault", webhook=name, error=repr(error), exc_info=error)
        return None

    def begin(self, work: Any, name: str) -> "asyncio.Task[None]":
        """A task of this sender's."""
        return self._tasks.start(work, name)

    async def deliver(self, found: Delivery, webhook: WebhookConfig) -> float | None:
        """One attempt, and what came of it written down; seconds for which the receiver wants nothing, if it says so.

        An attempt that is cancelled may have arrived: it is made again, at once, by whoever comes next.
        """
        if not covers(webhook.tenants, found.tenant):  # it was, when the message was made: nothing goes there any more
            attempt = Attempt("gone", error=f"webhooks.{found.target}.tenants does not name its tenant any more")
            await self._settle(found, webhook, attempt)
            return None
        if self._paused(found.tenant):
            await self._write(found, "due", "its tenant is suspended", PAUSED_S, attempted=False)
            return None
        try:
            attempt = await self._post.deliver(found.target, webhook, found.id, found.body)
        except asyncio.CancelledError:
            with suppress(StoreError):
                stopped = "the server stopped meanwhile"
                await uncancelled(self._store.settle_message(found.tenant, found.id, "due", stopped))
            raise
        except Exception as error:
            self._log.error("webhook.fault", webhook=found.target, message_id=found.id, exc_info=error)
            attempt = Attempt("failed", error=f"a fault of the server's own: {type(error).__name__}")
        await self._settle(found, webhook, attempt)
        return attempt.retry_after_s

    async def _settle(self, found: Delivery, webhook: WebhookConfig, attempt: Attempt) -> None:
        if attempt.verdict == "sent":
            await self._write(found, "sent", None)
            self.told("sent", found, attempt)
        elif attempt.verdict == "gone" or found.attempts > len(webhook.waits_s):
            await self._write(found, "dead", attempt.error)
            self.told("dead", found, attempt)
        else:
            wait_s = webhook.waits_s[found.attempts - 1] * self._chance.uniform(1 - JITTER, 1 + JITTER)
            if attempt.retry_after_s is not None:
                wait_s = attempt.retry_after_s
            await self._write(found, "due", attempt.error, wait_s)
            self.told("failed", found, attempt, again_in_s=round(wait_s, 3))

    async def _write(
        self, found: Delivery, state: Any, error: str | None, after_s: float = 0.0, *, attempted: bool = True
    ) -> None:
        """As long as the lease lasts; what cannot be written then is sent again."""
        until = self._clock.monotonic() + MARGIN_S
        while True:
            try:
                await self._store.settle_message(found.tenant, found.id, state, error, after_s, attempted=attempted)
                return
            except StoreError as refused:
                if self._clock.monotonic() >= until:
                    self._log.warning("webhook.unsettled", webhook=found.target, message_id=found.id, code=refused.code)
                    return
            await asyncio.sleep(STORE_RETRY_S / 4)

    def told(self, result: str, found: Delivery, attempt: Attempt, **more: Any) -> None:
        """Counts and logs what came of an attempt."""
        self._metrics.delivery(found.tenant, found.target, result)
        error = attempt.error
        if attempt.status is not None:  # a receiver quotes what it was sent: its words are kept, sealed, and not here
            error = error.partition(": ")[0]
        tell = {"sent": self._log.debug, "failed": self._log.warning}.get(result, self._log.error)
        tell(
            f"webhook.{result}", webhook=found.target, message_id=found.id, run=found.run, topic=found.topic,
            attempt=found.attempts, status=attempt.status, error=error or None,
            seconds=round(attempt.seconds, 3), **more,
        )  # fmt: skip


class _Line:
    """One webhook's: never more than `AT_ONCE` messages under way, the ones due longest first."""

    def __init__(self, name: str, sender: Sender) -> None:
        self._name = name
        self._sender = sender
        self._woken = asyncio.Event()
        self._resting_s = 0.0
        self.under_way: dict[asyncio.Task[None], None] = {}
        self.closing = False

    def wake(self) -> None:
        """Looks for messages now."""
        self._woken.set()

    async def run(self) -> None:
        """Until the webhook is gone from the configuration."""
        while (webhook := self._sender.settings(self._name)) is not None:
            self._woken.clear()
            wait_s = POLL_S
            if self._resting_s:
                wait_s, self._resting_s = self._resting_s, 0.0
                await asyncio.sleep(wait_s)
                continue
            room = 0 if self.closing else AT_ONCE - len(self.under_way)
            if room:
                found = await self._sender.claim(self._name, webhook, room)
                wait_s = STORE_RETRY_S if found is None else POLL_S
                for message in found or ():
                    task = self._sender.begin(self._one(message, webhook), message.id)
                    self.under_way[task] = None
                    task.add_done_callback(self._ended)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()

    async def _one(self, message: Delivery, webhook: WebhookConfig) -> None:
        rest_s = await self._sender.deliver(message, webhook)
        if rest_s:
            self._resting_s = max(self._resting_s, min(rest_s, REST_S))
            self.wake()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self.under_way.pop(task, None)
        self.wake()
