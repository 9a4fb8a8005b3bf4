"""API keys and the configuration over HTTP. Acts through `tenants/keys.py`; secrets leave once, when they are made."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from golive.config.schema import ServerConfig
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.permit import reach
from golive.gateway.routes import Answer, Param, Route
from golive.store.ports import KeyRow
from golive.tenants.keys import KeyAdmin
from golive.tenants.roles import BUILT_IN


class KeyCard(Struct, frozen=True, kw_only=True):
    """A key without its secret. Times are seconds since the epoch; `last_used_at` is exact to half a minute."""

    id: str
    name: str
    role: str
    created_at: float
    created_by: str
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None


class KeyMade(KeyCard, frozen=True, kw_only=True):
    """A new key. `key` is shown this once and kept nowhere."""

    key: str


class KeyList(Struct, frozen=True):
    data: list[KeyCard]


class KeyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`role` is one of viewer, user, operator, admin."""

    name: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 100})]
    role: Annotated[str, Meta(extra_json_schema={"enum": sorted(BUILT_IN)})] = "user"
    expires_in_s: Annotated[float, Meta(gt=0)] | None = None


class ConfigRows(Struct, frozen=True):
    """Each setting with value, origin and default; secrets as the references they are."""

    data: Sequence[Any]


def card(row: KeyRow) -> KeyCard:
    """What may be shown of a key."""
    return KeyCard(**{name: getattr(row, name) for name in KeyCard.__struct_fields__})


class Administration:
    """Handlers of /v1/keys and /v1/config."""

    def __init__(self, keys: KeyAdmin, config_rows: Callable[[], Sequence[Any]], server: ServerConfig) -> None:
        self._keys = keys
        self._config_rows = config_rows
        self._limit = server.max_body_bytes
        self._key_body = Reader(KeyBody)

    async def list_keys(self, exchange: Exchange) -> None:
        """GET /v1/keys"""
        reach(exchange, "keys.read", "key")
        await exchange.json(KeyList([card(row) for row in await self._keys.list(exchange.principal.tenant)]))

    async def create_key(self, exchange: Exchange) -> None:
        """POST /v1/keys"""
        body = await self._key_body.read(exchange, self._limit)
        reach(exchange, "keys.manage", "key")
        principal = exchange.principal
        made = await self._keys.create(
            principal.tenant, body.name, body.role, created_by=principal.id, expires_in_s=body.expires_in_s
        )
        shown = KeyMade(**{name: getattr(made.row, name) for name in KeyCard.__struct_fields__}, key=made.secret)
        await exchange.json(shown, 201, [(b"cache-control", b"no-store")])

    async def revoke_key(self, exchange: Exchange) -> None:
        """DELETE /v1/keys/{id}"""
        reach(exchange, "keys.manage", "key")
        await exchange.json(card(await self._keys.revoke(exchange.principal.tenant, exchange.params["id"])))

    async def config(self, exchange: Exchange) -> None:
        """GET /v1/config"""
        await exchange.json(ConfigRows(self._config_rows()))

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "GET", "/v1/keys", "keys.read", self.list_keys, "List API keys", kind="key", narrows=True, tag="Keys",
                answers=(Answer(200, "The keys, oldest first, without secrets.", KeyList),),
            ),
            Route(
                "POST", "/v1/keys", "keys.manage", self.create_key, "Make an API key", kind="key", tag="Keys",
                narrows=True, body=KeyBody, answers=(Answer(201, "The key; its secret is shown this once.", KeyMade),),
            ),
            Route(
                "DELETE", "/v1/keys/{id}", "keys.manage", self.revoke_key, "Revoke an API key", kind="key", tag="Keys",
                narrows=True, params=(Param("id", "path", "The key's id, eight characters."),),
                answers=(Answer(200, "The key, revoked for good.", KeyCard),),
            ),
            Route(
                "GET", "/v1/config", "config.read", self.config, "Explain the configuration", kind="config",
                owner="installation",
                answers=(Answer(200, "Value, origin and default of every setting.", ConfigRows),),
            ),
        ]  # fmt: skip
