"""Secrets over HTTP: how each stands, never a value; revoking one, and having its backend make another."""

from typing import Annotated

from msgspec import Meta, Struct

from golive.config.schema import ServerConfig
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.routes import Answer, Route
from golive.guards.secret_cards import RevokedCard, SecretCard
from golive.guards.secret_keeper import SecretKeeper


class SecretList(Struct, frozen=True):
    """`data`: the references that this server uses. `revoked`: what was revoked, the latest first."""

    data: list[SecretCard]
    revoked: list[RevokedCard]


class RevokeBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`secret`: a reference, whose present value is meant, or the fingerprint of a value. `cut`: calls under way with
    it are ended, too."""

    secret: Annotated[str, Meta(min_length=1, max_length=1_000)]
    reason: Annotated[str, Meta(min_length=1, max_length=500)]
    cut: bool = False


class RotateBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`reference`: whose backend makes a new value by itself."""

    reference: Annotated[str, Meta(min_length=1, max_length=1_000)]


class Rotated(Struct, frozen=True):
    """What was done, in words."""

    reference: str
    done: str


class SecretFaces:
    """Handlers of /v1/secrets."""

    def __init__(self, keeper: SecretKeeper, server: ServerConfig) -> None:
        self._keeper = keeper
        self._limit = server.max_body_bytes
        self._revoke_body = Reader(RevokeBody)
        self._rotate_body = Reader(RotateBody)

    async def listing(self, exchange: Exchange) -> None:
        """GET /v1/secrets"""
        await exchange.json(SecretList(self._keeper.cards(), self._keeper.revoked()))

    async def revoke(self, exchange: Exchange) -> None:
        """POST /v1/secrets/revoke"""
        body = await self._revoke_body.read(exchange, self._limit)
        by = exchange.principal.id
        await exchange.json(await self._keeper.revoke(body.secret, reason=body.reason, by=by, cut=body.cut))

    async def rotate(self, exchange: Exchange) -> None:
        """POST /v1/secrets/rotate"""
        body = await self._rotate_body.read(exchange, self._limit)
        await exchange.json(Rotated(body.reference, await self._keeper.rotate_known(body.reference)))

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "GET", "/v1/secrets", "secrets.read", self.listing, "Show how secrets stand", kind="secret",
                tag="Secrets", owner="installation",
                answers=(Answer(200, "Each reference with age and fingerprint, never a value.", SecretList),),
            ),
            Route(
                "POST", "/v1/secrets/revoke", "secrets.manage", self.revoke, "Revoke a credential everywhere",
                kind="secret", tag="Secrets", owner="installation", body=RevokeBody,
                answers=(Answer(200, "No call begins with it any more; within a second, anywhere.", RevokedCard),),
            ),
            Route(
                "POST", "/v1/secrets/rotate", "secrets.manage", self.rotate, "Have a backend make a new value",
                kind="secret", tag="Secrets", owner="installation", body=RotateBody,
                answers=(Answer(200, "The backend makes it, or has made it.", Rotated),),
            ),
        ]  # fmt: skip
