"""The audit log for commands that work on the store itself, beside a server or without one."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from golive.audit.log import Audit
from golive.audit.signing import Trusted, audit_key, public_key
from golive.config.load import Loaded
from golive.config.secrets import Secrets
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.store.audit import INSTALLATION, AuditEntry, AuditStore, Outcome

CLI = "cli"
LEAST_CHARS = 8
"""A shorter value may be part of any word."""


def trusted(own_key: bytes, others: tuple[str, ...]) -> Trusted:
    """The keys whose signatures count: the installation's own, and those of `audit.trusted_keys`."""
    return Trusted([own_key, *map(public_key, others)])


def own(
    clock: Clock, actor: str, verb: str, kind: str, name: str, outcome: Outcome, detail: dict[str, str],
    tenant: str = INSTALLATION,
) -> AuditEntry:  # fmt: skip
    """An entry of something that was no request."""
    return AuditEntry(
        tenant=tenant, at=clock.now(), actor=actor, home=INSTALLATION, verb=verb, kind=kind, name=name,
        outcome=outcome, detail=detail,
    )  # fmt: skip


class Acts:
    """What a command does to the store itself, recorded: that it begins, and what became of it."""

    def __init__(self, audit: Audit, clock: Clock) -> None:
        self._audit = audit
        self._clock = clock

    @asynccontextmanager
    async def act(
        self, verb: str, kind: str, name: str, tenant: str = INSTALLATION, **detail: str
    ) -> AsyncIterator[dict[str, str]]:
        """Around an act: durable before it begins, and with its outcome once it is over.

        Gives what is to be added to the outcome's details. Raises AuditUnavailable: nothing was done.
        """
        begin = own(self._clock, CLI, verb, kind, name, "allowed", detail, tenant)
        await self._audit.record(begin)
        more: dict[str, str] = {}
        outcome: Outcome = "failed"
        try:
            yield more
            outcome = "done"
        finally:
            done = own(self._clock, CLI, verb, kind, name, outcome, detail | more, tenant)
            await self._audit.record(done)


@asynccontextmanager
async def acting(
    loaded: Loaded, secrets: Secrets, store: AuditStore, clock: Clock, chance: Chance
) -> AsyncIterator[Acts]:
    """The log for a command, for the time of the block."""
    async with writing(loaded, secrets, store, clock, chance) as audit:
        yield Acts(audit, clock)


@asynccontextmanager
async def writing(
    loaded: Loaded, secrets: Secrets, store: AuditStore, clock: Clock, chance: Chance
) -> AsyncIterator[Audit]:
    """What writes the log for a command, for the time of the block."""
    key = audit_key(loaded.config.secrets.audit_key, loaded.root, secrets.resolve, chance)
    audit = Audit(store, key, clock, redact=lambda text: _without(secrets.known(), text))
    await audit.start()
    try:
        yield audit
    finally:
        await audit.close()


def _without(values: Iterable[str], text: str) -> str:
    """The text without the values of secrets that the command has read: people copy them into names and reasons."""
    for value in values:
        if len(value) >= LEAST_CHARS:
            text = text.replace(value, "[redacted]")
    return text
