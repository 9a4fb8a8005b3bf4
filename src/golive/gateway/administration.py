"""API keys and the configuration over HTTP. Acts through `tenants/keys.py`; secrets leave once, when they are made."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from golive.config.schema import ServerConfig
from golive.core.errors import Unauthenticated
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.permit import deciding, reach
from golive.gateway.routes import Answer, Param, Route
from golive.store.ports import KeyRow
from golive.tenants.keys import MAX_OVERLAP_S, KeyAdmin, NewKey, Rotated
from golive.tenants.makers import is_persons, signature
from golive.tenants.rolebook import MOST_SCOPES, split

_SECRET = ((b"cache-control", b"no-store"),)


class KeyCard(Struct, frozen=True, kw_only=True):
    """A key without its secret; `prefix` is how it begins, to recognise it by. Times are seconds since the epoch;
    `last_used_at` is exact to half a minute. `scopes` are all that is left of the role; [] for the whole of it."""

    id: str
    prefix: str
    name: str
    role: str
    scopes: tuple[str, ...]
    created_at: float
    created_by: str
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None


class KeyMade(KeyCard, frozen=True, kw_only=True):
    """A new key. `key` is shown this once and kept nowhere."""

    key: str


class KeyRotated(KeyMade, frozen=True, kw_only=True):
    """A new key in the place of `replaces`, which works until `replaced_expires_at`."""

    replaces: str
    replaced_expires_at: float


class KeyList(Struct, frozen=True):
    data: list[KeyCard]


Scopes = Annotated[tuple[Annotated[str, Meta(min_length=1, max_length=220)], ...], Meta(max_length=MOST_SCOPES)]


class KeyBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`role` is a built-in one or one of [roles.NAME]. `scopes` narrow it: verbs such as `runs.create`, and
    `agent:NAME`, `model:PROVIDER/MODEL`, `tool:NAME`, each a name or the beginning of one with `*` behind it."""

    name: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 100})]
    role: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": 63})] = "user"
    expires_in_s: Annotated[float, Meta(gt=0)] | None = None
    scopes: Scopes = ()


class RotateBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`overlap_s`: how long the old key goes on working beside the new one, seconds."""

    overlap_s: Annotated[float, Meta(ge=0, le=MAX_OVERLAP_S)] = 86_400.0


class ConfigRows(Struct, frozen=True):
    """Each setting with value, origin and default; secrets as the references they are."""

    data: Sequence[Any]


def card(row: KeyRow) -> KeyCard:
    """What may be shown of a key."""
    return KeyCard(**_shown(row))


def key_made(made: NewKey) -> KeyMade:
    """What is shown of a new key, this once with its secret."""
    return KeyMade(**_shown(made.row), key=made.secret)


def key_rotated(rotated: Rotated) -> KeyRotated:
    """What is shown of a new key in the place of another."""
    old, new = rotated.old, rotated.new
    assert old.expires_at is not None
    return KeyRotated(**_shown(new.row), key=new.secret, replaces=old.id, replaced_expires_at=old.expires_at)


def _shown(row: KeyRow) -> dict[str, Any]:
    role, scopes = split(row.role)
    same = ("id", "name", "created_at", "created_by", "expires_at", "revoked_at", "last_used_at")
    return {name: getattr(row, name) for name in same} | {"prefix": f"gl_{row.id}", "role": role, "scopes": scopes}


class Administration:
    """Handlers of /v1/keys and /v1/config."""

    def __init__(
        self, keys: KeyAdmin, config_rows: Callable[[], Sequence[Any]], server: ServerConfig,
        still_known: Callable[[Exchange], Awaitable[None]],
    ) -> None:  # fmt: skip
        """`still_known`: raises where the credential of a request has been revoked meanwhile."""
        self._keys = keys
        self._config_rows = config_rows
        self._still_known = still_known
        self._limit = server.max_body_bytes
        self._key_body = Reader(KeyBody)
        self._rotate_body = Reader(RotateBody)

    async def list_keys(self, exchange: Exchange) -> None:
        """GET /v1/keys"""
        principal = exchange.principal
        reach(exchange, "keys.read", "key")
        await exchange.json(KeyList([card(row) for row in await self._keys.list(principal.tenant, principal)]))

    async def create_key(self, exchange: Exchange) -> None:
        """POST /v1/keys"""
        body = await self._key_body.read(exchange, self._limit)
        principal = exchange.principal
        with deciding(exchange, "keys.manage", "key", body.name):
            made = await self._keys.create(
                principal.tenant, body.name, body.role, created_by=signature(principal), expires_in_s=body.expires_in_s,
                scopes=body.scopes, by=principal,
            )  # fmt: skip
        await self._still_theirs(exchange, made)
        exchange.tell(name=made.row.name, key=made.row.id, role=made.row.role)
        await exchange.json(key_made(made), 201, _SECRET)

    async def rotate_key(self, exchange: Exchange) -> None:
        """POST /v1/keys/{id}/rotate"""
        body = await self._rotate_body.read(exchange, self._limit, RotateBody())
        principal, key_id = exchange.principal, exchange.params["id"]
        with deciding(exchange, "keys.manage", "key", key_id):
            rotated = await self._keys.rotate(
                principal.tenant, key_id, body.overlap_s, created_by=signature(principal), by=principal
            )
        await self._still_theirs(exchange, rotated.new)
        exchange.tell(key=rotated.new.row.id)
        await exchange.json(key_rotated(rotated), 201, _SECRET)

    async def _still_theirs(self, exchange: Exchange, made: NewKey) -> None:
        """A person's key that was made while theirs were revoked is none. Raises Unauthenticated."""
        if not is_persons(exchange.principal):
            return
        try:
            await self._still_known(exchange)
        except Unauthenticated:
            await self._keys.revoke(made.row.tenant, made.row.id)
            raise

    async def revoke_key(self, exchange: Exchange) -> None:
        """DELETE /v1/keys/{id}"""
        principal, key_id = exchange.principal, exchange.params["id"]
        with deciding(exchange, "keys.manage", "key", key_id):
            row = await self._keys.revoke(principal.tenant, key_id, principal)
        await exchange.json(card(row))

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
                "POST", "/v1/keys/{id}/rotate", "keys.manage", self.rotate_key, "Replace an API key", kind="key",
                tag="Keys", narrows=True, body=RotateBody, params=(Param("id", "path", "The old key's id."),),
                answers=(Answer(201, "The new key; its secret is shown this once.", KeyRotated),),
                description="The new key has name, role and scopes of the old one, which works for `overlap_s` more.",
            ),
            Route(
                "GET", "/v1/config", "config.read", self.config, "Explain the configuration", kind="config",
                owner="installation",
                answers=(Answer(200, "Value, origin and default of every setting.", ConfigRows),),
            ),
        ]  # fmt: skip
