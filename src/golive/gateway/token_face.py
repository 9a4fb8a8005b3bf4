"""Tokens of OpenID Connect issuers over HTTP: revoking them, and how the issuers' keys stand."""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from golive.config.schema import ServerConfig
from golive.core.errors import Forbidden, InvalidRequest
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.permit import deciding
from golive.gateway.routes import Answer, Route
from golive.store.ports import KeyRow
from golive.store.revocation import EVERY_TENANT, TokenRevocation
from golive.tenants.issuer import IssuerState
from golive.tenants.revoking import TokenAdmin

Text = Annotated[str, Meta(min_length=1, max_length=200)]


class RevocationBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Which tokens are not taken any more: the one of the id `jti`; or all of `user`, or where `issuer` is given alone
    all of it, made at or before `before` (seconds since the epoch; now when absent). `user`: as golive shows them, with
    the issuer's `user_prefix`; or as the issuer does. Their API keys made by then are revoked, too.

    `issuer`: the name of its section of [auth.oidc]; beside `jti` or `user` it may be left out where there is one.
    `every_tenant`: in all tenants, which takes a role that acts across them.
    """

    issuer: Text | None = None
    jti: Text | None = None
    user: Text | None = None
    before: Annotated[float, Meta(ge=0)] | None = None
    every_tenant: bool = False


class RevocationCard(Struct, frozen=True, kw_only=True):
    """Tokens that are not taken. `tenant` `*`: in any. `until`: from when on none of them could be valid anyway."""

    id: str
    tenant: str
    issuer: str
    kind: Literal["jti", "user", "issuer"]
    value: str
    before: float
    until: float
    created_at: float
    created_by: str


class RevocationMade(RevocationCard, frozen=True, kw_only=True):
    """`keys`: ids of the API keys, sessions included, that were revoked with the tokens."""

    keys: list[str]


class RevocationList(Struct, frozen=True):
    data: list[RevocationCard]


class KeyOfIssuer(Struct, frozen=True):
    kid: str
    algorithm: str


class IssuerCard(Struct, frozen=True, kw_only=True):
    """An issuer as this server sees it. `age_s`: since its keys were read; null where none were. `error`: why the last
    reading failed; "" when it went well. `skipped`: keys that are not used, with the reason."""

    name: str
    issuer: str
    jwks_url: str | None
    keys: list[KeyOfIssuer]
    skipped: list[str]
    age_s: float | None
    error: str


class IssuerList(Struct, frozen=True):
    data: list[IssuerCard]


def revocation_card(row: TokenRevocation) -> RevocationCard:
    """What is shown of a revocation."""
    return RevocationCard(**_shown(row))


def revocation_made(row: TokenRevocation, keys: Iterable[KeyRow]) -> RevocationMade:
    """What is shown of a revocation that was just made."""
    return RevocationMade(**_shown(row), keys=[key.id for key in keys])


def _shown(row: TokenRevocation) -> dict[str, Any]:
    return {name: getattr(row, name) for name in RevocationCard.__struct_fields__}


def issuer_card(state: IssuerState) -> IssuerCard:
    """What is shown of an issuer."""
    return IssuerCard(
        name=state.name, issuer=state.issuer, jwks_url=state.jwks_url,
        keys=[KeyOfIssuer(*key) for key in state.keys], skipped=list(state.skipped), age_s=state.age_s,
        error=state.error,
    )  # fmt: skip


class TokenFace:
    """Handlers of /v1/auth."""

    def __init__(
        self, admin: TokenAdmin, states: Callable[[], Sequence[IssuerState]], server: ServerConfig
    ) -> None:  # fmt: skip
        self._admin = admin
        self._states = states
        self._limit = server.max_body_bytes
        self._body = Reader(RevocationBody)

    async def list_issuers(self, exchange: Exchange) -> None:
        """GET /v1/auth/issuers"""
        await exchange.json(IssuerList([issuer_card(state) for state in self._states()]))

    async def list_revocations(self, exchange: Exchange) -> None:
        """GET /v1/auth/revocations"""
        rows = await self._admin.list(exchange.principal.tenant)
        if exchange.principal.across:
            rows = [*await self._admin.list(EVERY_TENANT), *rows]
        await exchange.json(RevocationList([revocation_card(row) for row in rows]))

    async def revoke(self, exchange: Exchange) -> None:
        """POST /v1/auth/revocations"""
        body = await self._body.read(exchange, self._limit)
        if body.jti is None and body.user is None and body.issuer is None:
            raise InvalidRequest(
                "It does not say which tokens.",
                remedy="Give `jti`, `user`, or `issuer`: by itself, all of that issuer.", field="jti",
            )  # fmt: skip
        principal = exchange.principal
        if body.every_tenant:
            with deciding(exchange, "users.manage", "tokens", "of every tenant"):
                if not principal.across:
                    raise Forbidden(
                        "Tokens of every tenant are revoked by those alone who act across tenants.",
                        remedy="Leave out `every_tenant`, or use a key of the role platform.",
                        verb="users.manage", role=principal.role,
                    )  # fmt: skip
        row, keys = await self._admin.revoke(
            EVERY_TENANT if body.every_tenant else principal.tenant, by=principal.id, issuer=body.issuer,
            jti=body.jti, user=body.user, before=body.before,
        )  # fmt: skip
        exchange.tell(name=row.value, keys=",".join(key.id for key in keys))
        await exchange.json(revocation_made(row, keys), 201)

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "GET", "/v1/auth/issuers", "config.read", self.list_issuers, "List OpenID Connect issuers",
                kind="issuer", owner="installation", tag="Tokens",
                answers=(Answer(200, "Each issuer with its keys, as this server sees them.", IssuerList),),
            ),
            Route(
                "GET", "/v1/auth/revocations", "users.read", self.list_revocations, "List revoked tokens",
                kind="tokens", tag="Tokens",
                answers=(Answer(200, "What may still mean a token, the oldest first.", RevocationList),),
            ),
            Route(
                "POST", "/v1/auth/revocations", "users.manage", self.revoke, "Revoke tokens", kind="tokens",
                tag="Tokens", body=RevocationBody,
                answers=(Answer(201, "What is not taken any more, on any server within a second.", RevocationMade),),
            ),
        ]  # fmt: skip
