"""The audit log over HTTP: searching a tenant's entries, and proving that they are what was recorded."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from golive.audit.chain import Fault
from golive.audit.signing import AuditKey, Trusted
from golive.audit.verifying import verify
from golive.core.clock import Clock
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.routes import Answer, Param, Route
from golive.store.audit import AuditFilter, AuditRow, AuditStore, by_time

MOST = 1_000
LAST_SEQ = 2**53 - 1
"""The greatest number that JSON carries exactly everywhere; no entry has a greater one."""
Moment = Annotated[float, Meta(ge=0, le=1e11)]
"""Seconds since the epoch, to the year 5138: databases keep microseconds in 64 bits."""


class AuditCard(Struct, frozen=True):
    """An entry. `at`: seconds since the epoch; `home`: the tenant of the credential; `detail` holds no content.

    `outcome`: allowed (it may, and is about to), denied, refused (no valid credential), done, failed.
    """

    seq: int
    at: float
    actor: str
    home: str
    verb: str
    kind: str
    name: str
    outcome: str
    source: str
    route: str
    detail: dict[str, str]
    hash: str


class AuditList(Struct, frozen=True):
    """Newest first; `before` is the seq to go on from, null at the end."""

    data: list[AuditCard]
    before: int | None


class AuditQuery(Struct, frozen=True, forbid_unknown_fields=True):
    actor: str | None = None
    verb: str | None = None
    kind: str | None = None
    name: str | None = None
    outcome: str | None = None
    since: Moment | None = None
    until: Moment | None = None
    before: Annotated[int, Meta(ge=0, le=LAST_SEQ)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST)] = 50


class AuditVerdict(Struct, frozen=True):
    """`signed`: entries up to here are covered by a signature; `faults`: what is not as it was recorded.

    `checkpoint` is the end of the chain, signed just now, to be kept elsewhere: with it a missing end is found.
    """

    tenant: str
    entries: int
    first: int
    last: int
    hash: str
    signed: int
    checkpoints: int
    pruned: int
    faults: list[Fault]
    public_key: str
    checkpoint: dict[str, Any] | None


def card(row: AuditRow) -> AuditCard:
    """An entry as it is shown."""
    try:
        detail = msgspec.json.decode(row.detail, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeEncodeError):
        detail = {}
    shown = {name: _shown(getattr(row, name)) for name in AuditCard.__struct_fields__ if hasattr(row, name)}
    return AuditCard(**shown | {"at": row.at_us / 1e6, "detail": detail, "hash": row.hash.hex()})


def _shown(value: Any) -> Any:
    """Text that somebody broke is shown, too."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


class AuditFace:
    """Handlers of /v1/audit."""

    def __init__(self, store: AuditStore, key: AuditKey, trusted: Trusted, clock: Clock) -> None:
        self._store = store
        self._key = key
        self._trusted = trusted
        self._clock = clock
        self._query = Reader(AuditQuery)

    async def search(self, exchange: Exchange) -> None:
        """GET /v1/audit"""
        asked = self._query.query(exchange.scope["query_string"])
        where = AuditFilter(**msgspec.structs.asdict(asked))
        rows = await self._store.tenant(exchange.principal.tenant).search(where)
        more = len(rows) == where.limit and (rows[-1].seq > 1 or by_time(where))
        before = rows[-1].seq if more else None
        await exchange.json(AuditList([card(row) for row in rows], before))

    async def verify(self, exchange: Exchange) -> None:
        """GET /v1/audit/verify"""
        tenant = exchange.principal.tenant
        verdict = await verify(self._store, tenant, self._trusted)
        head = await self._store.tenant(tenant).head()
        kept = None
        if head.seq and not verdict.faults:
            mark = self._key.sign(head, self._clock.now())
            kept = msgspec.structs.asdict(mark) | {"hash": mark.hash.hex(), "signature": mark.signature.hex()}
        told = AuditVerdict(
            **msgspec.structs.asdict(verdict), public_key=self._key.public.hex(), checkpoint=kept
        )  # fmt: skip
        await exchange.json(told)

    def routes(self) -> list[Route]:
        """All routes of this face."""
        filters = (
            ("actor", "Only what this principal did, such as `key:ab12cd34`."),
            ("verb", "Only uses of this verb."),
            ("kind", "Only what was done to things of this kind (key, agent, run …)."),
            ("name", "Only what was done to the thing of this name."),
            ("outcome", "allowed, denied, refused, done or failed."),
            ("since", "Seconds since the epoch; only entries from then on. With `since` or `until` they come by time."),
            ("until", "Seconds since the epoch; only entries before."),
            ("before", "The seq of the last entry of the page before; only what follows it in the list."),
            ("limit", f"How many, {MOST} at most; 50 when absent."),
        )
        return [
            Route(
                "GET", "/v1/audit", "audit.read", self.search, "Search the audit log", kind="audit", tag="Audit",
                params=tuple(Param(name, "query", said) for name, said in filters),
                answers=(Answer(200, "The entries, newest first.", AuditList),),
            ),
            Route(
                "GET", "/v1/audit/verify", "audit.read", self.verify, "Verify the audit log", kind="audit",
                tag="Audit",
                answers=(Answer(200, "What was looked at, and all that is not as it was recorded.", AuditVerdict),),
            ),
        ]  # fmt: skip
