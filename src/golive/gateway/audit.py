"""What the door and the handlers do, as entries of the audit log.

Each decision becomes an entry. An act (`ACTS`) is recorded durably before its handler begins, and what became of it
before the answer leaves; so is the denial of one. Uses are noted and written a moment later; what is read often is
summed up. While nothing can be recorded nothing is done, unless the configuration says otherwise.
"""

import asyncio
from collections.abc import Sequence
from functools import lru_cache, partial
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from msgspec.structs import replace

from golive.audit.log import Audit
from golive.audit.summing import Sums
from golive.config.audit import AuditConfig
from golive.core.clock import Clock
from golive.core.errors import AuditUnavailable, ConfigError
from golive.gateway.exchange import Exchange, Scope
from golive.gateway.routes import Route
from golive.store.audit import INSTALLATION, AuditEntry, Outcome
from golive.tenants.judged import Judged

ACTS = frozenset({
    "keys.manage", "tenants.manage", "users.manage", "credentials.manage", "secrets.manage", "breakers.reset",
    "runs.cancel", "runs.resume", "runs.decide", "schedules.run", "webhooks.send",
})  # fmt: skip
"""Verbs whose uses are acts: each is recorded by itself, before it is done."""
STRANGER = "unknown"
AUTHENTICATE = "authenticate"
_FAILED = 400


class Trail:
    """Hears of each decision, and keeps an act from being done, or answered, before it is recorded.

    `start` and `close` belong to the sums; the log itself is its owner's to start and close.
    """

    def __init__(self, audit: Audit, config: AuditConfig, clock: Clock) -> None:
        """Raises ConfigError where a proxy's address is none."""
        self.audit = audit
        self._clock = clock
        self._sum_s = config.sum_up_s
        self._left_out = frozenset(config.leave_out) - ACTS
        self._summed = frozenset(config.sum_up) - ACTS
        self._proxies = _networks(config.proxies)
        self._sums = Sums(audit.note)
        self._acts: dict[int, bool] = {}
        self._begun: set[str] = set()
        """Acts on which handlers decide in the middle of them: that they may begin is recorded before."""

    # ---- decisions ---------------------------------------------------------------------------------------------------

    def hear(self, judged: Judged) -> None:
        """Makes an entry of a decision; of one in another tenant than the credential's, one in each."""
        verb, outcome = judged.verb, judged.outcome
        if outcome == "allowed" and (verb in self._left_out or judged.route in self._begun):
            return
        if outcome == "refused":
            self._sums.add(self._of_stranger(judged))
            return
        detail: dict[str, str] = {}
        if outcome == "denied":
            detail["reason"] = judged.reason
        if judged.agent and judged.agent != judged.name:
            detail["agent"] = judged.agent
        tenant, home = judged.tenant, judged.home
        entry = AuditEntry(
            tenant=tenant, at=self._clock.now(), actor=judged.actor, home=home, verb=verb, kind=judged.kind,
            name=judged.name, outcome=outcome, source=judged.source, route=judged.route, detail=detail,
        )  # fmt: skip
        put = self._sums.add if outcome == "allowed" and verb in self._summed else self.audit.note
        put(entry)
        if home != tenant:
            put(replace(entry, tenant=home, detail={**detail, "tenant": tenant}))

    def _of_stranger(self, judged: Judged) -> AuditEntry:
        return AuditEntry(
            tenant=INSTALLATION, at=self._clock.now(), actor=STRANGER, home="", verb=AUTHENTICATE, kind="credential",
            name="", outcome="refused", source="" if self._sums.full else judged.source, route=judged.route,
        )  # fmt: skip

    # ---- acts --------------------------------------------------------------------------------------------------------

    def follow(self, exchange: Exchange, route: Route) -> None:
        """Called before anything is decided: what is answered to an act, or to who may not, is recorded first."""
        if self._is_act(route):
            exchange.settle = partial(self.settled, exchange, route)

    async def before(self, exchange: Exchange, route: Route) -> None:
        """Called once it is allowed, before it is done.

        Raises:
            AuditUnavailable: it cannot be recorded.
        """
        if self._is_act(route):
            if exchange.undecided:
                self._begun.add(f"{route.method} {route.path}")
                self._note(exchange, route, "allowed", {})
            exchange.recorded = True
            await self.audit.flush()
        elif not self._left_out.issuperset(route.verbs):
            self.audit.admit()

    def _is_act(self, route: Route) -> bool:
        known = self._acts.get(id(route))
        if known is None:
            known = self._acts[id(route)] = not ACTS.isdisjoint(route.verbs)
        return known

    async def settled(self, exchange: Exchange, route: Route, status: int) -> None:
        """What became of an act, durable before its answer leaves; of a denial, that it was denied.

        Raises:
            AuditUnavailable: it is done, and cannot be recorded.
        """
        if exchange.recorded:
            outcome: Outcome = "done" if status < _FAILED else "failed"
            self._note(exchange, route, outcome, {"status": str(status), **(exchange.told or {})})
        try:
            await self.audit.flush()
        except AuditUnavailable:
            if status < _FAILED:
                raise

    def _note(self, exchange: Exchange, route: Route, outcome: Outcome, detail: dict[str, str]) -> None:
        """An entry of an act itself; of one in another tenant than the credential's, one in each."""
        principal, verb = exchange.principal, next(verb for verb in route.verbs if verb in ACTS)
        client = exchange.scope.get("client")
        entry = AuditEntry(
            tenant=principal.tenant, at=self._clock.now(), actor=principal.id, home=principal.home, verb=verb,
            kind=route.kind, name=next(iter(exchange.params.values()), detail.get("name", "")), outcome=outcome,
            source=client[0] if client else "", route=f"{route.method} {route.path}", detail=detail,
        )  # fmt: skip
        self.audit.note(entry)
        if principal.home != principal.tenant:
            self.audit.note(replace(entry, tenant=principal.home, detail={**detail, "tenant": principal.tenant}))

    # ---- where from --------------------------------------------------------------------------------------------------

    def place(self, scope: Scope) -> None:
        """Puts the client's own address where a proxy's is, if that proxy is one of ours."""
        if not self._proxies:
            return
        client = scope.get("client")
        if client is None:
            return
        said = b",".join([value for name, value in scope["headers"] if name == b"x-forwarded-for"])
        if said:
            scope["client"] = (_behind(client[0], said.decode("latin-1"), self._proxies), client[1])

    # ---- sums --------------------------------------------------------------------------------------------------------

    async def keep(self) -> None:
        """Writes the sums every while, for ever."""
        while True:
            await asyncio.sleep(self._sum_s)
            self._sums.flush()

    def flush(self) -> None:
        """Hands all sums to the log, for its end."""
        self._sums.flush()


Networks = tuple[IPv4Network | IPv6Network, ...]


def _networks(told: Sequence[str]) -> Networks:
    try:
        return tuple(ip_network(one) for one in told)
    except ValueError as error:
        raise ConfigError(
            f"audit.proxies names what is neither an address nor a network: {error}.",
            remedy="Write addresses such as 10.0.0.7, or networks such as 10.0.0.0/8.",
            key="audit.proxies", value=list(told), origin="",
        ) from None  # fmt: skip


@lru_cache(maxsize=4_096)
def _behind(peer: str, said: str, proxies: Networks) -> str:
    """The last address that is not one of the proxies': each of them adds whom it heard from, at the end."""
    found = peer
    for one in (peer, *reversed([part.strip() for part in said.split(",")])):
        try:
            address = ip_address(one)
        except ValueError:
            return found
        found = str(address)
        if not any(address in network for network in proxies):
            return found
    return found
