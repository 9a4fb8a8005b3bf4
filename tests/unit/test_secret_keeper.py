"""Values of a backend that is away: used on, told of once, and given up in time; none of it waits for the network."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from golive.config.secret_backends.reference import Found, Reference
from golive.config.secret_settings import RotationConfig
from golive.config.secrets import Secrets
from golive.core.chance import SystemChance
from golive.core.errors import InvalidRequest, SecretMissing, SecretRevoked, SecretUnavailable
from golive.guards.redact import Redactor
from golive.guards.secret_keeper import SecretKeeper
from golive.store.sqlite import SqliteStore
from golive.telemetry.metrics import Metrics
from golive.telemetry.secrets import SecretMetrics

REF = "vault:secret/prod#key"
USED = {REF: ("providers.p.api_key",), "file:pepper": ("secrets.pepper",)}


class Clock:
    """Set by hand; both scales move together."""

    def __init__(self) -> None:
        self.at = 1_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class Backend:
    """A place for secrets that can be away."""

    def __init__(self) -> None:
        self.value = "sk-first-value"
        self.away = False
        self.asked = 0

    def fetch(self, reference: Reference) -> Found:
        self.asked += 1
        if self.away:
            raise SecretUnavailable("the backend is away.", remedy="Wait.")
        return Found(self.value)

    def rotate(self, reference: Reference, value: str | None) -> str:
        self.value = value or "sk-made-by-itself"
        return "done"


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.lines.append((level, event))


class World:
    """A keeper over a backend, a clock and a log of the test's own."""

    def __init__(self, folder: Path, store: SqliteStore) -> None:
        self.clock, self.backend, self.log, self.cut = Clock(), Backend(), Lines(), [[]]  # type: ignore[var-annotated]
        self.redactor = Redactor()
        self.secrets = Secrets(folder, {}, ttl_s=60.0, stale_s=600.0, clock=self.clock)
        self.secrets._backends["vault"] = self.backend
        self.secrets.pepper("file:pepper", SystemChance())
        self.keeper = SecretKeeper(
            self.secrets, store, self.clock, self.log, SecretMetrics(Metrics().registry), used=lambda: USED,
            rotation={REF: RotationConfig(every_days=1.0, remind_days=0.5)}, learn=self.redactor.learn,
            cut=lambda values: len(self.cut.append(list(values)) or self.cut[-1]),
        )  # fmt: skip

    async def pass_by(self, seconds: float) -> None:
        """Time, and what a poll would do in it."""
        self.clock.at += seconds
        for held in self.secrets.due():
            await self.keeper._fetch(held)
        self.keeper._remind()

    def told(self, event: str) -> int:
        return sum(each == event for _, each in self.log.lines)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    store = SqliteStore.open(tmp_path / "golive.db", clock=Clock())
    made = World(tmp_path, store)
    yield made
    await made.keeper.close()
    await store.close()


async def test_a_value_is_fetched_before_it_is_old_and_a_new_one_is_redacted(world: World) -> None:
    """At three quarters of its time, and not sooner."""
    world.secrets.follow()
    await world.keeper.look()
    assert world.keeper.resolve(REF) == "sk-first-value"
    world.backend.value = "sk-second-value"
    await world.pass_by(44.0)
    assert (world.backend.asked, world.keeper.resolve(REF)) == (1, "sk-first-value")
    await world.pass_by(2.0)
    assert (world.backend.asked, world.keeper.resolve(REF)) == (2, "sk-second-value")
    assert world.told("secret.changed") == 1
    assert world.redactor.text("it is sk-second-value") == "it is [redacted]"


async def test_an_outage_is_outlived_told_once_and_ends_in_time(world: World) -> None:
    """Stale for secrets.stale_s; then the provider has no credential; and all is well when the backend is back."""
    world.secrets.follow()
    await world.keeper.look()
    world.backend.away = True
    for _ in range(60):
        await world.pass_by(10.0)
    assert world.keeper.resolve(REF) == "sk-first-value"
    [card] = [each for each in world.keeper.cards() if each.reference == REF]
    assert (card.state, card.problem) == ("stale", "the backend is away.")
    assert (world.told("secret.stale"), world.told("secret.lost")) == (1, 0)
    assert world.backend.asked < 30  # it is asked less and less often
    for _ in range(12):
        await world.pass_by(10.0)
    with pytest.raises(SecretUnavailable, match=r"longer than secrets\.stale_s"):
        world.keeper.resolve(REF)
    assert (world.told("secret.stale"), world.told("secret.lost")) == (1, 1)
    world.backend.away = False
    await world.pass_by(60.0)
    assert world.keeper.resolve(REF) == "sk-first-value"
    assert world.told("secret.recovered") == 1


async def test_what_was_never_fetched_is_missing_and_nobody_waits_for_it(world: World) -> None:
    """The error is the backend's own; once it is back, so is the credential."""
    world.backend.away = True
    world.secrets.follow()
    await world.keeper.look()
    asked = world.backend.asked
    with pytest.raises(SecretUnavailable, match="the backend is away"):
        world.keeper.resolve(REF)
    with pytest.raises(SecretMissing, match="not been fetched yet"):
        world.keeper.resolve("vault:secret/other#key")
    assert world.backend.asked == asked
    world.backend.away = False
    await world.pass_by(2.0)
    assert world.keeper.resolve(REF) == "sk-first-value"


async def test_calls_that_are_refused_at_once_share_one_question(world: World) -> None:
    """Twenty refusals of one value are one question; and after a second a further one."""
    world.secrets.follow()
    await world.keeper.look()
    world.clock.at += 5.0
    world.backend.value = "sk-second-value"
    fresh = await asyncio.gather(*[world.keeper.renewed(REF, "sk-first-value") for _ in range(20)])
    assert fresh == ["sk-second-value"] * 20
    assert world.backend.asked == 2
    assert await world.keeper.renewed(REF, "sk-second-value") is None
    assert world.backend.asked == 2


async def test_a_value_is_revoked_by_its_fingerprint_and_a_new_one_is_let_be(world: World) -> None:
    """Also when it comes back later; calls that use it are cut where that is wanted."""
    world.secrets.follow()
    await world.keeper.look()
    fingerprint = world.secrets.fingerprint("sk-first-value")
    card = await world.keeper.revoke(fingerprint, reason="leaked", by="test", cut=True)
    assert (card.fingerprint, card.reference, card.cut) == (fingerprint, REF, True)
    assert world.cut[-1] == ["sk-first-value"]
    with pytest.raises(SecretRevoked):
        world.keeper.resolve(REF)
    await world.keeper.rotate(REF, "sk-second-value")
    assert world.keeper.resolve(REF) == "sk-second-value"
    await world.keeper.rotate(REF, "sk-first-value")
    with pytest.raises(SecretRevoked):
        world.keeper.resolve(REF)


async def test_what_protects_golive_itself_is_not_revoked(world: World) -> None:
    """Neither by its reference nor by its fingerprint."""
    world.secrets.follow()
    await world.keeper.look()
    pepper = world.secrets.resolve("file:pepper")
    for named in ("file:pepper", world.secrets.fingerprint(pepper)):
        with pytest.raises(InvalidRequest, match="golive's own data"):
            await world.keeper.revoke(named, reason="x", by="test", cut=False)
    assert world.keeper.revoked() == []


async def test_reminders_come_once_a_day_from_before_it_is_due(world: World) -> None:
    """`due` first, `overdue` later; a new value ends them."""
    world.secrets.follow()
    await world.keeper.look()
    for _ in range(60):
        await world.pass_by(3_600.0)
    assert (world.told("secret.due"), world.told("secret.overdue")) == (1, 2)
    await world.keeper.rotate(REF, None)
    await world.pass_by(3_600.0)
    [card] = [each for each in world.keeper.cards() if each.reference == REF]
    assert (card.remind, world.told("secret.overdue")) == (False, 2)
