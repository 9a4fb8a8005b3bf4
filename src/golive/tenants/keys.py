"""API keys: what one looks like, how it is kept, and who may make, list and revoke them.

A key is `gl_<id>_<secret>`: 8 characters that name it, 43 that prove it (256 bits). The store holds only an HMAC of the
whole under the installation's pepper, so neither a stolen database nor a log line opens a door. Owns format, proof and
administration; `keyring.py` owns the look-up of every request.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable

from msgspec import Struct, structs

from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import ConfigError, InvalidRequest, NotFound
from golive.store.ports import KeyRow, Store
from golive.tenants.roles import BUILT_IN

PEPPER_BYTES = 32
"""Shortest pepper that is accepted."""
MAX_LIFE_S = 10 * 366 * 86_400
"""Longest time until a key expires, seconds."""
NAME_CHARS = 100
"""Longest name of a key."""

_PREFIX = "gl_"
_ID_CHARS = 8
_SECRET_CHARS = 43
_KEY_CHARS = len(_PREFIX) + _ID_CHARS + 1 + _SECRET_CHARS
_SECRET_AT = len(_PREFIX) + _ID_CHARS
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_key(chance: Chance) -> tuple[str, str]:
    """A fresh key as (id, the whole key); the key is shown once and never kept."""
    number = int.from_bytes(chance.token(5), "big")
    key_id = "".join(_ALPHABET[(number >> shift) & 31] for shift in range(35, -1, -5))
    secret = base64.urlsafe_b64encode(chance.token(32)).rstrip(b"=").decode()
    return key_id, f"{_PREFIX}{key_id}_{secret}"


def key_id_of(key: str) -> str | None:
    """The id inside a key; None for what cannot be a key."""
    if len(key) != _KEY_CHARS or key[:3] != _PREFIX or key[_SECRET_AT] != "_" or not key.isascii():
        return None
    return key[3:_SECRET_AT]


def mac_of(key: str, pepper: bytes) -> bytes:
    """The HMAC-SHA256 of the whole key, which is what the store keeps."""
    return hmac.digest(pepper, key.encode(), "sha256")


def matches(key: str, row: KeyRow, pepper: bytes) -> bool:
    """Whether `key` is the one of `row`; takes the same time wherever they differ."""
    return hmac.compare_digest(mac_of(key, pepper), row.mac)


def usable(row: KeyRow, now: float) -> bool:
    """Whether the key is neither revoked nor expired at `now` (seconds since the epoch)."""
    return row.revoked_at is None and (row.expires_at is None or now < row.expires_at)


class NewKey(Struct, frozen=True):
    """A key just made: the only moment at which the secret exists outside its owner's hands."""

    row: KeyRow
    secret: str


class KeyAdmin:
    """Makes, lists and revokes keys; the CLI and the HTTP face both act through it."""

    def __init__(
        self,
        store: Store,
        pepper: bytes,
        clock: Clock,
        chance: Chance,
        changed: Callable[[KeyRow], Awaitable[None]] | None = None,
    ) -> None:
        """Takes the store, the pepper (at least 32 bytes), and where time and randomness come from.

        Args:
            changed: told of each key made or revoked once that is durable, before anybody else is: a server's own
                keyring. None beside a server, whose keyring sees the change in the store.
        """
        if len(pepper) < PEPPER_BYTES:
            raise ConfigError(
                f"secrets.pepper has {len(pepper)} bytes, which is too short.",
                remedy=f"Use at least {PEPPER_BYTES} random bytes, such as the output of `openssl rand -hex 32`.",
                key="secrets.pepper",
            )
        self._store = store
        self._pepper = pepper
        self._clock = clock
        self._chance = chance
        self._changed = changed

    async def create(
        self, tenant: str, name: str, role: str, *, created_by: str, expires_in_s: float | None = None
    ) -> NewKey:
        """Makes a key and stores its HMAC.

        Args:
            name: what people call it, 1 to 100 characters; need not be unique.
            role: one of `roles.BUILT_IN`.
            created_by: id of the principal, or "cli".
            expires_in_s: seconds until it stops working; None for never.

        Raises:
            InvalidRequest: name, role or expiry cannot be used.
        """
        _check_new(name, role, expires_in_s)
        key_id, secret = new_key(self._chance)
        now = self._clock.now()
        row = KeyRow(
            tenant=tenant,
            id=key_id,
            name=name,
            role=role,
            mac=mac_of(secret, self._pepper),
            created_at=now,
            created_by=created_by,
            expires_at=None if expires_in_s is None else now + expires_in_s,
        )
        await self._store.tenant(tenant).put_key(row)
        await self._tell(row)
        return NewKey(row, secret)

    async def list(self, tenant: str) -> list[KeyRow]:
        """The tenant's keys, oldest first, revoked and expired ones included."""
        return sorted(await self._store.tenant(tenant).keys(), key=lambda row: (row.created_at, row.id))

    async def revoke(self, tenant: str, key_id: str) -> KeyRow:
        """Ends a key for good; revoking it again changes nothing.

        Raises:
            NotFound: the tenant has no key of that id.
        """
        handle = self._store.tenant(tenant)
        for row in await handle.keys():
            if row.id == key_id:
                revoked = row
                if row.revoked_at is None:
                    revoked = structs.replace(row, revoked_at=self._clock.now())
                    await handle.put_key(revoked)
                await self._tell(revoked)
                return revoked
        raise NotFound(
            f"There is no key {key_id[:20]!r}.",
            remedy="`golive keys list` shows the ids.",
            field="id",
            value=key_id[:20],
        )

    async def _tell(self, row: KeyRow) -> None:
        if self._changed is not None:
            await self._changed(row)


def _check_new(name: str, role: str, expires_in_s: float | None) -> None:
    if not 0 < len(name.strip()) <= NAME_CHARS or not name.isprintable():
        raise InvalidRequest(
            f"name {name[:NAME_CHARS]!r} cannot be used for a key.",
            remedy=f"Give it 1 to {NAME_CHARS} printable characters, such as `website`.",
            field="name",
            value=name[:NAME_CHARS],
        )
    if role not in BUILT_IN:
        raise InvalidRequest(
            f"role {role[:40]!r} does not exist.",
            remedy=f"Use one of {', '.join(BUILT_IN)}.",
            field="role",
            value=role[:40],
        )
    if expires_in_s is not None and not 0 < expires_in_s <= MAX_LIFE_S:
        raise InvalidRequest(
            f"expires_in_s {expires_in_s:g} is out of range.",
            remedy="Give seconds from now, above 0 and at most ten years; leave it out for a key that never expires.",
            field="expires_in_s",
            value=expires_in_s,
        )
