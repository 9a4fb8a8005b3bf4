"""What is told of browsers' logins: to the audit log, the log and the metrics. And what works once, used up.

Owns the words of these entries, and that no session begins or ends unrecorded.
"""

from collections.abc import Awaitable, Callable

from golive.audit.log import Audit
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import GoliveError
from golive.gateway.exchange import Exchange
from golive.store.audit import INSTALLATION, AuditEntry, Outcome
from golive.store.revocation import RevocationStore, TokenRevocation
from golive.telemetry.logins import LoginMetrics
from golive.telemetry.logs import Log
from golive.tenants.authorize import Principal
from golive.tenants.judged import Judged

BEGIN, END = "sessions.begin", "sessions.end"
MOST_TOLD = 20
TOLD_S = 10.0
"""So many refusals in this time are told one by one."""


Admit = Callable[[Principal], Awaitable[None]]
"""Raises unless whoever showed who they are is let in."""


async def everybody(_: Principal) -> None:
    """Lets in whoever showed who they are."""


class Logins:
    """Records logins.

    Args:
        audit: None where nothing is recorded.
        used: where what works once is noted, for all servers.
        admit: raises unless a tenant, or a user, is let in.
    """

    def __init__(
        self, audit: Audit | None, used: RevocationStore, clock: Clock, chance: Chance, log: Log, metrics: LoginMetrics,
        admit: Admit = everybody,
    ) -> None:  # fmt: skip
        self._audit = audit
        self._used = used
        self._clock = clock
        self._chance = chance
        self._log = log
        self._metrics = metrics
        self._admit = admit
        self._told_since = float("-inf")
        self._told = 0
        self._untold = 0

    async def take(self, issuer: str, tenant: str, id_: str, until: float) -> bool:
        """Uses up what works once; False where somebody was faster. Of two that add an entry, one finds its own there.

        Args:
            issuer: under which it stands among the revoked tokens.
        """
        mark = self._chance.token(16).hex()
        name, now = f"{issuer.removeprefix('golive:')}_{id_}", self._clock.now()
        await self._used.add(TokenRevocation(tenant, name, issuer, "jti", id_, now, until, now, mark))
        return any(row.id == name and row.created_by == mark for row in await self._used.of(tenant))

    async def begun(
        self, exchange: Exchange, via: str, tenant: str, actor: str, key: str, role: str, **detail: str
    ) -> None:
        """A session began. Durable on return.

        Raises:
            AuditUnavailable: it cannot be recorded, and so must not go on.
        """
        await self._record(exchange, BEGIN, tenant, actor, key, "done", {"role": role, "via": via, **detail})
        self._metrics.add(via, "begun")
        self._log.info(
            "session.begun", tenant=tenant, key=key, role=role, via=via, actor=actor, source=_source(exchange), **detail
        )

    async def ended(self, exchange: Exchange, tenant: str, actor: str, key: str) -> None:
        """A session was ended by whoever had it. Raises as `begun`."""
        await self._record(exchange, END, tenant, actor, key, "done", {})
        self._log.info("session.ended", tenant=tenant, key=key, source=_source(exchange))

    def refused(
        self, exchange: Exchange, via: str, reason: str, detail: str = "", *, stranger: bool = True, link: str = ""
    ) -> None:
        """A login came to nothing. `stranger`: nobody knows whose; `link`: the id of the link that was tried."""
        self._metrics.add(via, "refused")
        if not stranger or self._may_tell():
            which = {"link": link} if link else {}
            source = _source(exchange)
            self._log.warning("session.refused", via=via, reason=reason, detail=detail, source=source, **which)
        if stranger:
            source, route = _source(exchange), _route(exchange)
            exchange.hook(Judged("refused", "", "", "", "", "", "", "", "", "", reason, source, route))

    def _may_tell(self) -> bool:
        """Whether one more refusal of a stranger's may stand in the log: a flood of them is only counted."""
        now = self._clock.monotonic()
        if now - self._told_since > TOLD_S:
            if self._untold:
                self._log.warning("sessions.refused", count=self._untold)
            self._told_since, self._told, self._untold = now, 0, 0
        if self._told >= MOST_TOLD:
            self._untold += 1
            return False
        self._told += 1
        return True

    async def admit(self, exchange: Exchange, via: str, principal: Principal) -> None:
        """Raises GoliveError, recorded, unless they are let in."""
        try:
            await self._admit(principal)
        except GoliveError as error:
            detail = {"via": via, "reason": error.message, "tenant": principal.tenant}
            await self._record(exchange, BEGIN, INSTALLATION, principal.id, "", "denied", detail)
            raise

    async def denied(self, exchange: Exchange, via: str, tenant: str, actor: str, reason: str) -> None:
        """Somebody known logged in who may do nothing here. Raises as `begun`."""
        await self._record(exchange, BEGIN, tenant, actor, "", "denied", {"via": via, "reason": reason})

    async def _record(
        self,
        exchange: Exchange,
        verb: str,
        tenant: str,
        actor: str,
        name: str,
        outcome: Outcome,
        detail: dict[str, str],
    ) -> None:
        if self._audit is None:
            return
        entry = AuditEntry(
            tenant=tenant or INSTALLATION, at=self._clock.now(), actor=actor, home=tenant, verb=verb, kind="session",
            name=name, outcome=outcome, source=_source(exchange), route=_route(exchange), detail=detail,
        )  # fmt: skip
        await self._audit.record(entry)


def _source(exchange: Exchange) -> str:
    client = exchange.scope.get("client")
    return client[0] if client else ""


def _route(exchange: Exchange) -> str:
    return f"{exchange.route.method} {exchange.route.path}" if exchange.route is not None else ""
