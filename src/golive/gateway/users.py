"""The users of a tenant over HTTP, and the tenant's own credentials. Acts through `tenants/administration.py`.

Both belong to the tenant that is acted in; who acts across tenants names another one with `x-golive-tenant`.
"""

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Protocol
from urllib.parse import unquote

from msgspec import Meta, Struct

from golive.config.resolution import Resolution, Resolves
from golive.config.schema import ServerConfig
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.leaving import ERASED, EraseBody, Erases, send_lines
from golive.gateway.outsiders import runs_it
from golive.gateway.routes import Answer, Handler, Param, Route
from golive.gateway.tenants import NoteBody
from golive.store.tenancy import CredentialRow, UserRow
from golive.tenants.administration import NOTE_CHARS, PAGE, CredentialAdmin, UserAdmin, checked_user, confirmed


class UserCard(Struct, frozen=True, kw_only=True):
    """A user. Times are seconds since the epoch; `last_seen_at` is exact to half a minute."""

    id: str
    state: str
    note: str
    created_at: float
    created_by: str
    last_seen_at: float | None
    erased_at: float | None


class UserList(Struct, frozen=True):
    """By id; `before` is the id to go on from, null at the end."""

    data: list[UserCard]
    before: str | None


class UserQuery(Struct, frozen=True, forbid_unknown_fields=True):
    before: str = ""
    limit: Annotated[int, Meta(ge=1, le=PAGE)] = 50


class UserBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A user to be known before they come."""

    id: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 200})]
    note: Annotated[str, Meta(extra_json_schema={"maxLength": NOTE_CHARS})] = ""


class CredentialCard(Struct, frozen=True, kw_only=True):
    """Where a tenant's credential for a provider is kept; never its value.

    `state`: resolved; missing, unavailable (its backend cannot be asked), revoked or unusable: no call can go with it,
    and `problem` says why, `remedy` what helps.
    """

    provider: str
    reference: str
    created_at: float
    created_by: str
    state: Resolves
    problem: str
    remedy: str


class CredentialList(Struct, frozen=True):
    data: list[CredentialCard]


class CredentialBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`reference`: env:NAME, file:PATH, aws-sm:NAME or vault:MOUNT/PATH#FIELD."""

    reference: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 500})]


def user_card(row: UserRow) -> UserCard:
    """What is shown of a user."""
    return UserCard(**{name: getattr(row, name) for name in UserCard.__struct_fields__})


def credential_card(row: CredentialRow, stands: Resolution) -> CredentialCard:
    """What is shown of a credential."""
    return CredentialCard(
        provider=row.provider, reference=row.reference, created_at=row.created_at, created_by=row.created_by,
        state=stands.state, problem=stands.problem, remedy=stands.remedy,
    )  # fmt: skip


class Stands(Protocol):
    """How a reference stands; `ask`: its backend is asked now."""

    async def __call__(self, reference: str, *, ask: bool) -> Resolution: ...


class UserFaces:
    """Handlers of /v1/users; `eraser`, `exported` as for `TenantFaces`."""

    def __init__(
        self, users: UserAdmin, eraser: Erases, exported: Callable[[str, str | None], AsyncIterator[bytes]],
        server: ServerConfig,
    ) -> None:  # fmt: skip
        self._users = users
        self._eraser = eraser
        self._exported = exported
        self._limit = server.max_body_bytes
        self._query, self._new = Reader(UserQuery), Reader(UserBody)
        self._noted, self._erase_body = Reader(NoteBody), Reader(EraseBody)

    async def listing(self, exchange: Exchange) -> None:
        """GET /v1/users"""
        asked = self._query.query(exchange.scope["query_string"])
        rows = await self._users.list(exchange.principal.tenant, asked.before, asked.limit)
        before = rows[-1].id if len(rows) == asked.limit else None
        await exchange.json(UserList([user_card(row) for row in rows], before))

    async def create(self, exchange: Exchange) -> None:
        """POST /v1/users"""
        body = await self._new.read(exchange, self._limit)
        principal = exchange.principal
        exchange.tell(name=body.id[:200])
        row = await self._users.create(principal.tenant, body.id, body.note, by=principal.id)
        await exchange.json(user_card(row), 201)

    async def show(self, exchange: Exchange) -> None:
        """GET /v1/users/{user}"""
        await exchange.json(user_card(await self._users.get(exchange.principal.tenant, _named(exchange))))

    async def suspend(self, exchange: Exchange) -> None:
        """POST /v1/users/{user}/suspend"""
        body = await self._noted.read(exchange, self._limit, NoteBody())
        principal = exchange.principal
        exchange.tell(did="suspend")
        row = await self._users.suspend(principal.tenant, _named(exchange), body.note, by=principal.id)
        await exchange.json(user_card(row))

    async def resume(self, exchange: Exchange) -> None:
        """POST /v1/users/{user}/resume"""
        body = await self._noted.read(exchange, self._limit, NoteBody())
        exchange.tell(did="resume")
        row = await self._users.resume(exchange.principal.tenant, _named(exchange), body.note)
        await exchange.json(user_card(row))

    async def erase(self, exchange: Exchange) -> None:
        """POST /v1/users/{user}/erase"""
        body = await self._erase_body.read(exchange, self._limit)
        user, principal = checked_user(_named(exchange)), exchange.principal
        exchange.tell(did="erase")
        confirmed(user, body.confirm)
        await exchange.json(await self._eraser.erase(principal.tenant, user, principal.id))

    async def export(self, exchange: Exchange) -> None:
        """GET /v1/users/{user}/export"""
        exchange.tell(did="export")
        await send_lines(exchange, self._exported(exchange.principal.tenant, _named(exchange)))

    def routes(self) -> list[Route]:
        """All routes of this face."""
        user = (
            Param("user", "path", "The user's id; `%` and `/` in it are percent-encoded twice (`auth0%252F17`)."),
        )  # fmt: skip
        card = (Answer(200, "The user.", UserCard),)

        def act(path: str, handler: Handler, summary: str, body: type, answers: tuple[Answer, ...], said: str) -> Route:
            return Route(
                "POST", f"/v1/users/{{user}}/{path}", "users.manage", handler, summary, kind="user", tag="Users",
                body=body, params=user, answers=answers, description=said,
            )  # fmt: skip

        return [
            Route(
                "GET", "/v1/users", "users.read", self.listing, "List users", kind="user", tag="Users",
                params=(
                    Param("before", "query", "The id of the last user of the page before."),
                    Param("limit", "query", f"How many, {PAGE} at most; 50 when absent.", "integer"),
                ),
                answers=(Answer(200, "The tenant's users, by id.", UserList),),
            ),
            Route(
                "POST", "/v1/users", "users.manage", self.create, "Make a user known", kind="user", tag="Users",
                body=UserBody, answers=(Answer(201, "The user.", UserCard),),
                description="Not needed for users that come by themselves.",
            ),
            Route(
                "GET", "/v1/users/{user}", "users.read", self.show, "Show a user", kind="user", tag="Users",
                params=user, answers=card,
            ),
            act(
                "suspend", self.suspend, "Suspend a user", NoteBody, card,
                "They are not let in any more, on any server within a second; what is open in their name ends "
                "`cancelled`. Also somebody who was never seen.",
            ),
            act("resume", self.resume, "Let a user in again", NoteBody, card, ""),
            act(
                "erase", self.erase, "Erase a user", EraseBody, ERASED,
                "All runs in the user's name are removed, and cannot be brought back. `confirm` repeats the id.",
            ),
            Route(
                "GET", "/v1/users/{user}/export", "users.manage", self.export, "Export a user", kind="user",
                tag="Users", params=user,
                answers=(Answer(200, "All that is the user's, as JSON lines.", media="application/x-ndjson"),),
            ),
        ]  # fmt: skip


class CredentialFaces:
    """Handlers of /v1/credentials."""

    def __init__(self, credentials: CredentialAdmin, stands: Stands, server: ServerConfig) -> None:
        self._credentials = credentials
        self._stands = stands
        self._limit = server.max_body_bytes
        self._body = Reader(CredentialBody)

    async def listing(self, exchange: Exchange) -> None:
        """GET /v1/credentials"""
        rows = await self._credentials.list(exchange.principal.tenant)
        await exchange.json(CredentialList([await self._card(exchange, row) for row in rows]))

    async def set(self, exchange: Exchange) -> None:
        """POST /v1/credentials/{provider}"""
        body = await self._body.read(exchange, self._limit)
        principal, provider = exchange.principal, exchange.params["provider"]
        exchange.tell(did="set", reference=body.reference[:200])
        row = await self._credentials.set(
            principal.tenant, provider, body.reference, by=principal.id, any_reference=principal.across
        )
        await exchange.json(await self._card(exchange, row, ask=True))

    async def _card(self, exchange: Exchange, row: CredentialRow, *, ask: bool = False) -> CredentialCard:
        stands = await self._stands(row.reference, ask=ask)
        return credential_card(row, stands if runs_it(exchange.principal) else stands.for_tenants())

    async def remove(self, exchange: Exchange) -> None:
        """DELETE /v1/credentials/{provider}"""
        exchange.tell(did="remove")
        await self._credentials.remove(exchange.principal.tenant, exchange.params["provider"])
        await exchange.json(CredentialList([]))

    def routes(self) -> list[Route]:
        """All routes of this face."""
        provider = (Param("provider", "path", "The name of a section of [providers]."),)
        return [
            Route(
                "GET", "/v1/credentials", "credentials.read", self.listing, "List the tenant's own credentials",
                kind="credential", tag="Credentials",
                answers=(Answer(200, "References, by provider, and how each stands; never a value.", CredentialList),),
            ),
            Route(
                "POST", "/v1/credentials/{provider}", "credentials.manage", self.set, "Set a credential",
                kind="credential", tag="Credentials", body=CredentialBody, params=provider,
                answers=(Answer(200, "The credential; calls of the tenant go with it from now on.", CredentialCard),),
                description="The installation says which references its tenants may set (secrets.tenant_references); "
                "who acts across tenants may set any.",
            ),
            Route(
                "DELETE", "/v1/credentials/{provider}", "credentials.manage", self.remove, "Remove a credential",
                kind="credential", tag="Credentials", params=provider,
                answers=(Answer(200, "It is gone.", CredentialList),),
            ),
        ]  # fmt: skip


def _named(exchange: Exchange) -> str:
    return unquote(exchange.params["user"])
