"""Tenants over HTTP. Acts through `tenants/administration.py`.

Who may act across tenants makes, changes, suspends and erases them. A tenant's own administrators see their own row,
and may have a copy of all that is theirs; of other tenants they do not even learn whether there are any.
"""

from collections.abc import AsyncIterator, Callable
from typing import Annotated

from msgspec import Meta, Struct

from golive.config.schema import ServerConfig
from golive.core.errors import Forbidden
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.leaving import ERASED, EraseBody, Erases, send_lines
from golive.gateway.permit import deciding, hand_on
from golive.gateway.routes import Answer, Param, Route
from golive.store.tenancy import TenantRow
from golive.tenants.administration import NOTE_CHARS, Settings, TenantAdmin, confirmed
from golive.tenants.authorize import Decision, Resource
from golive.tenants.directory import MAX_OPEN_RUNS, no_tenant, untouchable
from golive.tenants.roles import Verb


class TenantCard(Struct, frozen=True, kw_only=True):
    """A tenant. Times are seconds since the epoch. `agents`: patterns of those it may use. `max_open_runs`: at one
    server; null: as many as that takes. `keep_days`: of finished runs; null: as the installation says."""

    tenant: str
    state: str
    agents: tuple[str, ...]
    max_open_runs: int | None
    keep_days: float | None
    note: str
    created_at: float
    created_by: str
    changed_at: float
    erased_at: float | None


class TenantList(Struct, frozen=True):
    data: list[TenantCard]


class TenantBody(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new tenant; all but its name may be left out."""

    tenant: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 63})]


class TenantChanges(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way; what is left out stays."""


class NoteBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`note`: why, for whoever looks at it later; stands in the row in the place of what was noted before."""

    note: Annotated[str, Meta(extra_json_schema={"maxLength": NOTE_CHARS})] = ""


def tenant_card(row: TenantRow) -> TenantCard:
    """What is shown of a tenant."""
    same = set(TenantCard.__struct_fields__) - {MAX_OPEN_RUNS}
    return TenantCard(**{name: getattr(row, name) for name in same}, max_open_runs=row.limits.get(MAX_OPEN_RUNS))


class TenantFaces:
    """Handlers of /v1/tenants.

    Args:
        exported: all that is a tenant's (or one of its user's), as JSON lines.
    """

    def __init__(
        self, tenants: TenantAdmin, eraser: Erases, exported: Callable[[str, str | None], AsyncIterator[bytes]],
        server: ServerConfig,
    ) -> None:  # fmt: skip
        self._tenants = tenants
        self._eraser = eraser
        self._exported = exported
        self._limit = server.max_body_bytes
        self._new, self._changes = Reader(TenantBody), Reader(TenantChanges)
        self._noted, self._erase_body = Reader(NoteBody), Reader(EraseBody)

    async def listing(self, exchange: Exchange) -> None:
        """GET /v1/tenants"""
        principal = exchange.principal
        rows = await self._tenants.list() if principal.across else [await self._tenants.get(principal.tenant)]
        await exchange.json(TenantList([tenant_card(row) for row in rows]))

    async def show(self, exchange: Exchange) -> None:
        """GET /v1/tenants/{tenant}"""
        row = await self._find(exchange, "tenants.read")
        await exchange.json(tenant_card(row))

    async def create(self, exchange: Exchange) -> None:
        """POST /v1/tenants"""
        body = await self._new.read(exchange, self._limit)
        exchange.tell(name=body.tenant[:63])
        self._demand_across(exchange, body.tenant)
        row = await self._tenants.create(body.tenant, body, by=exchange.principal.id)
        exchange.principal = exchange.principal.acting_in(row.tenant)  # it stands in its own audit log, too
        await exchange.json(tenant_card(row), 201)

    async def change(self, exchange: Exchange) -> None:
        """POST /v1/tenants/{tenant}"""
        body = await self._changes.read(exchange, self._limit)
        row = await self._own_or_across(exchange)
        exchange.tell(**{name: str(value) for name in body.__struct_fields__ if (value := _given(body, name))})
        await exchange.json(tenant_card(await self._tenants.change(row.tenant, body)))

    async def suspend(self, exchange: Exchange) -> None:
        """POST /v1/tenants/{tenant}/suspend"""
        body = await self._noted.read(exchange, self._limit, NoteBody())
        row = await self._own_or_across(exchange)
        exchange.tell(did="suspend")
        await exchange.json(tenant_card(await self._tenants.suspend(row.tenant, body.note)))

    async def resume(self, exchange: Exchange) -> None:
        """POST /v1/tenants/{tenant}/resume"""
        body = await self._noted.read(exchange, self._limit, NoteBody())
        row = await self._own_or_across(exchange)
        exchange.tell(did="resume")
        await exchange.json(tenant_card(await self._tenants.resume(row.tenant, body.note)))

    async def erase(self, exchange: Exchange) -> None:
        """POST /v1/tenants/{tenant}/erase"""
        body = await self._erase_body.read(exchange, self._limit)
        row = await self._own_or_across(exchange)
        exchange.tell(did="erase")
        confirmed(row.tenant, body.confirm)
        untouchable(row.tenant)
        await exchange.json(await self._eraser.erase(row.tenant, None, exchange.principal.id))

    async def export(self, exchange: Exchange) -> None:
        """GET /v1/tenants/{tenant}/export"""
        row = await self._find(exchange, "tenants.manage")
        exchange.tell(did="export")
        await send_lines(exchange, self._exported(row.tenant, None))

    # ---- whose it is -------------------------------------------------------------------------------------------------

    async def _find(self, exchange: Exchange, verb: Verb) -> TenantRow:
        """The tenant of the path, which must be one's own for who does not act across. Raises NotFound."""
        principal, name = exchange.principal, exchange.params["tenant"]
        if not principal.across and name != principal.tenant:
            resource = Resource(name[:63], "tenant", name[:63])
            hand_on(exchange, verb, resource, Decision(False, "tenant belongs to another tenant"))
            raise no_tenant(name)
        row = await self._tenants.get(name)
        if principal.across:
            exchange.principal = principal.acting_in(name)
        with deciding(exchange, verb, "tenant", name):
            return row

    async def _own_or_across(self, exchange: Exchange) -> TenantRow:
        """The same, for what only who acts across may change. Raises NotFound, Forbidden (one's own)."""
        principal, name = exchange.principal, exchange.params["tenant"]
        if principal.across or name != principal.tenant:
            return await self._find(exchange, "tenants.manage")
        self._demand_across(exchange, name)
        raise AssertionError(name)

    @staticmethod
    def _demand_across(exchange: Exchange, tenant: str) -> None:
        with deciding(exchange, "tenants.manage", "tenant", tenant[:63]):
            if not exchange.principal.across:
                raise Forbidden(
                    "Tenants are made, changed, suspended and erased by who acts across tenants.",
                    remedy="Use a key of the role platform.", verb="tenants.manage", role=exchange.principal.role,
                    roles=("platform",),
                )  # fmt: skip

    def routes(self) -> list[Route]:
        """All routes of this face."""
        tenant = (Param("tenant", "path", "The tenant's name."),)
        card = (Answer(200, "The tenant.", TenantCard),)

        def act(
            path: str, handler: object, summary: str, body: object, answers: tuple[Answer, ...], said: str
        ) -> Route:
            return Route(
                "POST", f"/v1/tenants/{{tenant}}{path}", "tenants.manage", handler, summary, kind="tenant",  # type: ignore[arg-type]
                tag="Tenants", narrows=True, body=body, params=tenant, answers=answers, description=said,
            )  # fmt: skip

        return [
            Route(
                "GET", "/v1/tenants", "tenants.read", self.listing, "List tenants", kind="tenant", tag="Tenants",
                answers=(Answer(200, "All of them, or one's own for who does not act across.", TenantList),),
            ),
            Route(
                "POST", "/v1/tenants", "tenants.manage", self.create, "Make a tenant", kind="tenant", tag="Tenants",
                narrows=True, body=TenantBody, answers=(Answer(201, "The tenant; it is let in at once.", TenantCard),),
            ),
            Route(
                "GET", "/v1/tenants/{tenant}", "tenants.read", self.show, "Show a tenant", kind="tenant",
                tag="Tenants", narrows=True, params=tenant, answers=card,
            ),
            act("", self.change, "Change a tenant", TenantChanges, card, "What is left out stays as it is."),
            act(
                "/suspend", self.suspend, "Suspend a tenant", NoteBody, card,
                "Nobody of it is let in any more, on any server within a second; what it has open ends `cancelled`.",
            ),
            act("/resume", self.resume, "Let a tenant in again", NoteBody, card, ""),
            act(
                "/erase", self.erase, "Erase a tenant", EraseBody, ERASED,
                "All that is the tenant's is removed, and cannot be brought back. `confirm` repeats its name.",
            ),
            Route(
                "GET", "/v1/tenants/{tenant}/export", "tenants.manage", self.export, "Export a tenant", kind="tenant",
                tag="Tenants", narrows=True, params=tenant,
                answers=(Answer(200, "All that is the tenant's, as JSON lines.", media="application/x-ndjson"),),
            ),
        ]  # fmt: skip


def _given(body: TenantChanges, name: str) -> object:
    from msgspec import UNSET

    value = getattr(body, name)
    return None if value is UNSET else "none" if value is None else value
