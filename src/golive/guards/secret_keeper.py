"""Keeps a server's secrets: fetched at the start and before they grow old, revoked within a poll, reminded of in time.

Owns when backends and the store are asked, and what is told of it in the log. Leaves values, their age and the refusal
of revoked ones to `config/secrets.py`, and the calls that use them to `models/credentials.py`.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from golive.config.resolution import Resolution, resolution
from golive.config.secret_settings import RotationConfig
from golive.config.secret_use import OWN
from golive.config.secret_values import Held
from golive.config.secrets import Secrets
from golive.core.clock import Clock
from golive.core.errors import ConfigError, GoliveError, NotFound, StoreError
from golive.core.following import Survived, faults_told
from golive.core.tasks import Tasks
from golive.guards.revoking import row_to_revoke
from golive.guards.secret_cards import DAY_S, RevokedCard, SecretCard, card_of, revoked_card, unusable_card
from golive.store.fingerprints import FingerprintRow
from golive.store.ports import Store
from golive.telemetry.logs import Log
from golive.telemetry.secrets import SecretMetrics

POLL_S = 0.25
"""How often the store is asked whether anything was revoked."""
AT_ONCE = 8
"""Backends asked at the same time."""
RENEW_S = 1.0
"""Least time between two questions for one reference because a provider refused its value."""
ASK_S = 5.0
"""How long whoever sets a reference waits for its backend, to be told whether it resolves."""
_WHOLE = 64

Used = Callable[[], Mapping[str, tuple[str, ...]]]
"""The references of the configuration, each with the settings that name it."""


class SecretKeeper:
    """One server's. `start` fetches and begins to follow; `close` ends that.

    Args:
        used: as the configuration is now.
        learn: told of each value, before it is used: the redactor.
        cut: ends the calls under way that use one of these values; how many.
    """

    def __init__(
        self, secrets: Secrets, store: Store, clock: Clock, log: Log, metrics: SecretMetrics, *, used: Used,
        rotation: Mapping[str, RotationConfig], learn: Callable[..., None], cut: Callable[[Iterable[str]], int],
    ) -> None:  # fmt: skip
        self._secrets = secrets
        self._store = store
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._used = used
        self._rotation = rotation
        self._learn = learn
        self._cut = cut
        self._rows: dict[str, FingerprintRow] = {}
        self._version = -1
        self._following_on = False
        self._locks: dict[str, asyncio.Lock] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._reminded: dict[str, float] = {}
        self._stale: set[str] = set()
        self._unusable: dict[str, str] = {}
        """What is used as a reference and is none, with why; told once."""
        self._following = (Survived("secrets", faults_told(log)), Survived("secrets.used", faults_told(log)))
        self._tasks = Tasks("secrets")
        metrics.follow(lambda: self.cards())  # noqa: PLW0108 - asked whenever metrics are read

    async def start(self) -> None:
        """Fetches what comes over the network, learns what is revoked, and begins to follow both.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        self._secrets.follow()
        self._following_on = True
        await self.look()
        self._tell_missing()
        self._tasks.start(self._follow(), "follow")

    async def look(self) -> None:
        """Fetches what comes over the network, and learns what is revoked, once: all that a command needs.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        self._want()
        async with Tasks("secrets at the start") as tasks:
            for held in self._secrets.due():
                tasks.start(self._fetch(held), held.reference.text)
        for reference in self._used():
            self._value(reference)
        await self._read_store()
        await self._record()

    async def close(self) -> None:
        """Stops following."""
        await self._tasks.close()

    def resolve(self, reference: str) -> str:
        """As `Secrets.resolve`; the redactor knows the value before anybody else does."""
        value = self._secrets.resolve(reference)
        self._learn(value)
        return value

    async def resolution(self, reference: str, *, ask: bool) -> Resolution:
        """How a reference stands. `ask`: of one that comes over the network and was never fetched, the backend is asked
        now, `ASK_S` at most."""
        try:
            self._secrets.want([reference])
            held = next(each for each in self._secrets.held() if each.reference.text == reference)
            if ask and held.reference.remote and held.found is None:
                async with asyncio.timeout(ASK_S):
                    await self._fetch(held)
        except (ConfigError, TimeoutError):
            pass  # what is known of it is told
        return resolution(self.resolve, reference)

    async def renewed(self, reference: str, refused: str | None) -> str | None:
        """A `Renew` (models/credentials.py): asks the backend whether it has another value than the refused one."""
        async with self._locks.setdefault(reference, asyncio.Lock()):
            value = self._value(reference)
            if value is not None and value != refused:
                return value
            held = next((each for each in self._secrets.held() if each.reference.text == reference), None)
            if held is None or not held.reference.remote:
                return None
            if self._clock.monotonic() - held.tried_at >= RENEW_S:
                await self._fetch(held)
            value = self._value(reference)
            return value if value != refused else None

    async def revoke(self, named: str, *, reason: str, by: str, cut: bool) -> RevokedCard:
        """Revokes the value behind a reference, or that of a fingerprint; here at once, elsewhere within a poll.

        Raises:
            InvalidRequest: there is nothing to revoke. StoreUnavailable: nothing was revoked.
        """
        used, now = self._used(), self._clock.now()
        secrets = self._secrets
        row = await asyncio.to_thread(
            lambda: row_to_revoke(secrets, named, used, reason=reason, by=by, cut=cut, now=now)
        )
        await self._store.fingerprints.put(row)
        await self._read_store()
        return revoked_card(self._rows[row.fingerprint])

    async def rotate(self, reference: str, value: str | None = None) -> str:
        """Has the backend make a new value, or puts this one in, and takes it over here; says what was done.

        Raises:
            InvalidRequest: it cannot; the remedy says what to do. GoliveError: the backend refused.
        """
        done = await asyncio.to_thread(self._secrets.rotate, reference, value)
        self._log.warning("secret.rotated", reference=reference, done=done)
        held = next(each for each in self._secrets.held() if each.reference.text == reference)
        if held.reference.remote:
            await self._fetch(held)
        await self._record()
        return done

    async def rotate_known(self, reference: str) -> str:
        """As `rotate` without a value, of a reference that the configuration names and no other.

        Raises:
            NotFound: it names none such.
        """
        if reference not in self._used() or self._own(reference):
            raise NotFound(
                f"The configuration names no secret `{reference[:100]}`.",
                remedy="`golive secrets status` lists them.", kind="secret", name=reference[:100],
            )  # fmt: skip
        return await self.rotate(reference)

    def cards(self) -> list[SecretCard]:
        """Every reference asked for so far or named by the configuration."""
        used, now = self._used(), self._clock.now()
        return [
            card_of(held, used.get(held.reference.text, ()), self._secrets, self._rows, self._rotation, now)
            for held in self._secrets.held()
        ] + [unusable_card(text, used.get(text, ()), why) for text, why in self._unusable.items()]

    def revoked(self) -> list[RevokedCard]:
        """All revocations, the latest first."""
        found = [revoked_card(row) for row in self._rows.values() if row.revoked_at is not None]
        return sorted(found, key=lambda card: (-card.revoked_at, card.fingerprint))

    # ---- following ---------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            reading, using = self._following
            with reading.look():  # what is known goes on
                await self._read_store()
            with using.look():
                await self._use()

    async def _use(self) -> None:
        self._want()
        for held in self._secrets.due():
            held.fetching = True  # before the task has begun, so that it is not begun twice
            self._tasks.start(self._fetch(held), held.reference.text)
        await self._record()
        self._remind()

    def _want(self) -> None:
        """An edited reference that is none is told, of which the reload tells, too; or a stored one, of old."""
        used, before, self._unusable = self._used(), self._unusable, {}
        for reference, settings in used.items():
            try:
                self._secrets.want([reference])
            except ConfigError as error:
                self._unusable[reference] = error.message
                if reference not in before:
                    self._log.error(
                        "secret.missing", used_by=settings, message=error.message, remedy=error.remedy
                    )  # fmt: skip

    async def _fetch(self, held: Held) -> None:
        """Fetches one, and tells what is worth telling."""
        reference = held.reference.text
        try:
            async with self._room:
                changed = await asyncio.to_thread(self._secrets.fetch, held)
        except GoliveError as error:
            self._metrics.failed(held.reference.kind)
            self._tell_failure(held, error)
            return
        assert held.found is not None
        self._learn(held.found.value)
        if reference in self._stale:
            self._stale.discard(reference)
            self._log.info("secret.recovered", reference=reference)
        if changed:
            self._log.info(
                "secret.changed", reference=reference, fingerprint=self._secrets.fingerprint(held.found.value)
            )

    def _tell_failure(self, held: Held, error: GoliveError) -> None:
        """Once when an outage begins, and once when the value is used no more."""
        reference, state = held.reference.text, self._secrets.state(held)
        if state == "never":
            if held.failures == 1:
                self._log.error("secret.missing", reference=reference, message=error.message, remedy=error.remedy)
        elif reference not in self._stale:
            self._stale.add(reference)
            self._log.warning("secret.stale", reference=reference, message=error.message, remedy=error.remedy)
        if state == "lost" and f"{reference}\0lost" not in self._stale:
            self._stale.add(f"{reference}\0lost")
            why = held.why_lost(self._secrets.stale_s)
            self._log.error("secret.lost", reference=reference, message=why.message, remedy=why.remedy)
        elif state != "lost":
            self._stale.discard(f"{reference}\0lost")

    async def _read_store(self) -> None:
        """Takes in what was revoked, by whomever, and values that others have seen before us."""
        version = await self._store.control_version()
        if version == self._version:
            return
        rows = {row.fingerprint: row for row in await self._store.fingerprints.rows()}
        new = [row for key, row in rows.items() if key not in self._rows]
        told = [row for row in rows.values() if row.revoked_at and not self._told(row)]
        long_ago = self._version < 0 and not self._following_on  # a command that looks once: its status tells of them
        self._rows, self._version = rows, version
        values = self._secrets.revoke([row.fingerprint for row in rows.values() if row.revoked_at is not None])
        ended = 0
        if any(row.cut for row in told):
            cut = tuple(row.fingerprint for row in told if row.cut)
            ended = self._cut([value for value in values if self._secrets.fingerprint(value, _WHOLE).startswith(cut)])
        for row in told:
            self._metrics.revoked()
            if long_ago:
                continue
            self._log.error(
                "secret.revoked", fingerprint=row.fingerprint[:8], reference=row.reference, by=row.revoked_by,
                reason=row.reason, calls_cut=ended,
            )  # fmt: skip
        self._look_again(values, new)

    def _told(self, row: FingerprintRow) -> bool:
        before = self._rows.get(row.fingerprint)
        return before is not None and before.revoked_at is not None

    def _look_again(self, revoked: Iterable[str], new: Iterable[FingerprintRow]) -> None:
        """Asks at once for what was revoked, and for what another server, or a command, has a newer value of."""
        values, references = set(revoked), {row.reference for row in new if row.revoked_at is None}
        for held in self._secrets.held():
            if not held.reference.remote or held.found is None or held.fetching:
                continue
            elsewhere = held.reference.text in references
            if held.found.value in values or elsewhere:
                held.fetching = True
                self._tasks.start(self._fetch(held), held.reference.text)

    async def _record(self) -> None:
        """Writes down since when each value is in use; the first server to see it is the one that counts."""
        for held in self._secrets.held():
            if held.found is None:
                continue
            whole = self._secrets.fingerprint(held.found.value, _WHOLE)
            if not whole or whole in self._rows:
                continue
            row = FingerprintRow(whole, held.reference.text, held.found.made_at or self._clock.now())
            try:
                await self._store.fingerprints.put(row)
            except StoreError:
                return
            self._rows[whole] = row

    # ---- telling -----------------------------------------------------------------------------------------------------

    def _remind(self) -> None:
        now = self._clock.now()
        for card in self.cards():
            if not card.remind or card.due_at is None or now - self._reminded.get(card.reference, -DAY_S) < DAY_S:
                continue
            self._reminded[card.reference] = now
            overdue = now >= card.due_at
            (self._log.error if overdue else self._log.warning)(
                "secret.overdue" if overdue else "secret.due", reference=card.reference, age_days=card.age_days,
                days_left=round((card.due_at - now) / DAY_S, 1), remedy=f"golive secrets rotate '{card.reference}'",
            )  # fmt: skip

    def _tell_missing(self) -> None:
        """A provider without its credential is no reason not to serve, for a chain may have others; but it is told."""
        for reference, settings in self._used().items():
            if reference in self._unusable:
                continue  # told already
            try:
                self.resolve(reference)
            except GoliveError as error:
                kind, name, *more = settings[0].split(".")
                if error.code == "secret.revoked" or kind not in ("providers", "tenants"):
                    continue  # told elsewhere
                of = {"provider": name} if kind == "providers" else {"tenant": name, "provider": ".".join(more)}
                self._log.warning("secret.missing", **of, message=error.message, remedy=error.remedy)

    def _own(self, reference: str) -> bool:
        return any(name.startswith(OWN) for name in self._used().get(reference, ()))

    def _value(self, reference: str) -> str | None:
        try:
            return self.resolve(reference)
        except GoliveError:
            return None
