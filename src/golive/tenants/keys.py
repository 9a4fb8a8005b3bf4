"""API keys: what one looks like, how it is kept, and who may make, list, rotate and revoke them.

A key is `gl_<id>_<secret>`: 8 characters that name it, 43 that prove it (256 bits). The store holds only an HMAC of the
whole under the installation's pepper, so neither a stolen database nor a log line opens a door. Owns format, proof and
administration; `keyring.py` owns the look-up of every request.
"""

import base64
import hmac
import math
from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct, structs

from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import ConfigError, Conflict, Forbidden, InvalidRequest, NotFound
from golive.store.ports import KeyRow, Store
from golive.store.tenancy import erased_for_good
from golive.tenants.authorize import Principal
from golive.tenants.changing import over_what_stands
from golive.tenants.directory import no_tenant
from golive.tenants.makers import is_persons
from golive.tenants.rolebook import Rolebook, split
from golive.tenants.roles import exceeding

PEPPER_BYTES = 32
"""Shortest pepper that is accepted."""
MAX_LIFE_S = 10 * 366 * 86_400
"""Longest time until a key expires, seconds."""
MAX_OVERLAP_S = 90 * 86_400
"""Longest time for which a key that was rotated goes on working beside the new one, seconds."""
KEYS_OF_PEOPLE_S = 90 * 86_400.0
"""How long a key of a person's works at most, unless it is configured."""
NAME_CHARS = 100
"""Longest name of a key."""

SESSION = "browser session"
"""What the keys of sessions are called."""

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


class Rotated(Struct, frozen=True):
    """A key in the place of another: the new one with its secret, and the old one, with the time at which it ends."""

    new: NewKey
    old: KeyRow


class KeyAdmin:
    """Makes, lists, rotates and revokes keys; the CLI and the HTTP face both act through it."""

    def __init__(
        self,
        store: Store,
        pepper: bytes,
        clock: Clock,
        chance: Chance,
        changed: Callable[[KeyRow], Awaitable[None]] | None = None,
        rolebook: Rolebook | None = None,
        people_s: Callable[[], float] = lambda: KEYS_OF_PEOPLE_S,
    ) -> None:
        """Takes the store, the pepper (at least 32 bytes), and where time and randomness come from.

        Args:
            changed: told of each key made or revoked once that is durable, before anybody else is: a server's own
                keyring. None beside a server, whose keyring sees the change in the store.
            rolebook: the roles there are; the built-in ones when absent.
            people_s: how long a key may work that a person makes, or a key of theirs.
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
        self._rolebook = rolebook or Rolebook()
        self._people_s = people_s

    async def create(
        self,
        tenant: str,
        name: str,
        role: str,
        *,
        created_by: str,
        expires_in_s: float | None = None,
        scopes: Sequence[str] = (),
        by: Principal | None = None,
    ) -> NewKey:
        """Makes a key and stores its HMAC.

        Args:
            name: what people call it, 1 to 100 characters; need not be unique.
            role: one of the rolebook's.
            created_by: id of the principal, or "cli".
            expires_in_s: seconds until it stops working; None for never.
            scopes: verbs, and `agent:`, `model:`, `tool:` with a pattern: all that is left of the role.
            by: who asks, where they may not give more than they have; None for who has the installation in hand.

        Raises:
            InvalidRequest: name, role, scope or expiry cannot be used.
            Forbidden: `by` would give more than they have.
            NotFound: there is no such tenant. NotAsItStands: it is erased.
        """
        _check_new(name, expires_in_s)
        text = self._rolebook.text(role, scopes)
        now = self._clock.now()
        expires_at = None if expires_in_s is None else now + expires_in_s
        if by is not None:
            if is_persons(by):
                expires_at = self._persons_end(now, expires_at)
            self._check_covered(by, tenant, text, expires_at)
        await self._check_tenant(tenant)
        return await self._make(tenant, name, text, created_by, now, expires_at)

    async def begin_session(
        self, tenant: str, roles: Sequence[str], user: str, agents: Sequence[str] | None, *, created_by: str,
        expires_in_s: float,
    ) -> NewKey:  # fmt: skip
        """Makes the key of the session that a person began with an issuer: it is not known as a key, but as them.

        Raises:
            InvalidRequest: they may do nothing.
        """
        now = self._clock.now()
        text = self._rolebook.person(roles, user, agents)
        return await self._make(tenant, SESSION, text, created_by, now, now + expires_in_s)

    async def list_all(self) -> list[KeyRow]:
        """As `list`, of every tenant that there is, by tenant."""
        return [row for each in await self._store.all_tenants() for row in await self.list(each.tenant)]

    async def list(self, tenant: str, by: Principal | None = None) -> list[KeyRow]:
        """The tenant's keys, oldest first, revoked and expired ones included; those that `by` could have made."""
        rows = sorted(await self._store.tenant(tenant).keys(), key=lambda row: (row.created_at, row.id))
        if by is None or not by.limited:
            return rows
        return [row for row in rows if self._exceeding(by, row.role) is None]

    async def revoke(self, tenant: str, key_id: str, by: Principal | None = None) -> KeyRow:
        """Ends a key for good; revoking it again changes nothing.

        Raises:
            NotFound: the tenant has no key of that id, or none that `by` may see.
            Forbidden: it may more than `by`.
        """

        async def once() -> KeyRow:
            read = await self._find(tenant, key_id, by)
            if read.revoked_at is not None:
                return read
            row = structs.replace(read, revoked_at=self._clock.now())
            await self._store.tenant(tenant).put_key(row, read)
            return row

        row = await over_what_stands(once)
        await self._tell(row)
        return row

    async def rotate(
        self, tenant: str, key_id: str, overlap_s: float, *, created_by: str, by: Principal | None = None
    ) -> Rotated:
        """Makes a key of the same name, role and scopes in the place of another, which works for `overlap_s` more.

        The new one never expires where the old one did not, and else lives as long from now as the old one did from
        when it was made.

        Raises:
            InvalidRequest: the overlap is out of range, or the key is revoked, expired, or of a role that is gone.
            NotFound, Forbidden: as for `revoke`.
            Conflict: somebody else revoked or rotated it at the same time; there is no new one.
        """
        if not 0 <= overlap_s <= MAX_OVERLAP_S:
            raise InvalidRequest(
                f"overlap_s {overlap_s:g} is out of range.", remedy="Give 0 seconds to 90 days.", field="overlap_s",
                value=overlap_s,
            )  # fmt: skip
        old, now = await self._find(tenant, key_id, by), self._clock.now()
        if not usable(old, now):
            raise InvalidRequest(
                f"Key {old.id} does not work any more, so there is nothing to overlap with.",
                remedy="Make a new one.", field="id", value=old.id,
            )  # fmt: skip
        name, scopes = split(old.role)
        text = self._rolebook.text(name, scopes)
        expires_at = None if old.expires_at is None else now + min(old.expires_at - old.created_at, MAX_LIFE_S)
        if by is not None:
            if is_persons(by):
                expires_at = min(expires_at or math.inf, now + self._people_s())
            self._check_covered(by, tenant, text, expires_at)
        made = await self._make(tenant, old.name, text, created_by, now, expires_at)
        ends = now + overlap_s if old.expires_at is None else min(old.expires_at, now + overlap_s)
        ended = structs.replace(old, expires_at=ends)
        try:
            await self._store.tenant(tenant).put_key(ended, old)
        except Conflict:
            await self.revoke(tenant, made.row.id)  # nobody has seen its secret
            raise
        await self._tell(ended)
        return Rotated(made, ended)

    async def _make(
        self, tenant: str, name: str, role: str, created_by: str, now: float, expires_at: float | None
    ) -> NewKey:
        key_id, secret = new_key(self._chance)
        row = KeyRow(tenant, key_id, name, role, mac_of(secret, self._pepper), now, created_by, expires_at)
        await self._store.tenant(tenant).put_key(row)
        await self._tell(row)
        return NewKey(row, secret)

    async def _find(self, tenant: str, key_id: str, by: Principal | None) -> KeyRow:
        for row in await self._store.tenant(tenant).keys():
            if row.id == key_id:
                verb = None if by is None else self._exceeding(by, row.role)
                if by is None or verb is None:
                    return row
                if by.limited:
                    break  # they do not see it either
                raise _more_than(by, verb, "This key may")
        raise NotFound(
            f"There is no key {key_id[:20]!r}.",
            remedy="`golive keys list` shows the ids, with --all-tenants on the store those of every tenant. The "
            "tenant of a key that is another's is named by --tenant, or x-golive-tenant.",
            field="id",
            value=key_id[:20],
        )

    def _exceeding(self, by: Principal, role: str) -> str | None:
        """What a key of this role and scopes may that `by` may not; None where there is nothing.

        A key has no runs of its own: whoever sees only theirs makes none, as it would see everybody's.
        """
        held = self._rolebook.held(role)
        if by.own_runs and not held.own_runs:
            return "everybody's runs"
        if held.across and not by.across:
            return "acting in other tenants"
        return exceeding(held.grants, by.grants)

    def _check_covered(self, by: Principal, tenant: str, role: str, expires_at: float | None) -> None:
        """Raises Forbidden unless `by` may all that a key of this role may, for as long, in this tenant."""
        if tenant != by.tenant and not by.across:
            raise Forbidden("Keys of another tenant are not yours to make.", remedy="Leave the tenant out.")
        verb = self._exceeding(by, role)
        if verb is not None:
            raise _more_than(by, verb, "The new key would")
        if by.id.startswith("key:") and by.expires_at is not None and (expires_at or math.inf) > by.expires_at:
            raise Forbidden(
                "The new key would work for longer than yours.",
                remedy="Give it an earlier end, or use a key that ends later.", role=by.role,
            )  # fmt: skip

    def _persons_end(self, now: float, expires_at: float | None) -> float:
        """When a key ends that a person makes: as they say, and else as late as may be. Raises InvalidRequest."""
        latest = now + self._people_s()
        if expires_at is not None and expires_at > latest:
            raise InvalidRequest(
                f"A key that a person makes works for {self._people_s() / 86_400:g} days at most.",
                remedy="Give it an earlier end, or have it made with `golive keys create` where the server runs.",
                advice="auth.keys_of_people_days sets how long.", field="expires_in_s", value=expires_at - now,
            )  # fmt: skip
        return latest if expires_at is None else expires_at

    async def _check_tenant(self, tenant: str) -> None:
        """Raises NotFound or NotAsItStands where nobody of the tenant could be let in, ever."""
        row = await self._store.tenant(tenant).tenant_row()
        if row is None:
            raise no_tenant(tenant)
        if row.state == "erased":
            raise erased_for_good(row)

    async def _tell(self, row: KeyRow) -> None:
        if self._changed is not None:
            await self._changed(row)


def _more_than(by: Principal, verb: str, whose: str) -> Forbidden:
    return Forbidden(
        f"{whose} have more than you: {verb!r}." if "would" in whose else f"{whose} more than you: {verb!r}.",
        remedy="Use a key that may at least as much, or narrow the new one with a lesser role or with scopes.",
        verb=verb, role=by.role,
    )  # fmt: skip


def _check_new(name: str, expires_in_s: float | None) -> None:
    if not 0 < len(name.strip()) <= NAME_CHARS or not name.isprintable():
        raise InvalidRequest(
            f"name {name[:NAME_CHARS]!r} cannot be used for a key.",
            remedy=f"Give it 1 to {NAME_CHARS} printable characters, such as `website`.",
            field="name",
            value=name[:NAME_CHARS],
        )
    if expires_in_s is not None and not 0 < expires_in_s <= MAX_LIFE_S:
        raise InvalidRequest(
            f"expires_in_s {expires_in_s:g} is out of range.",
            remedy="Give seconds from now, above 0 and at most ten years; leave it out for a key that never expires.",
            field="expires_in_s",
            value=expires_in_s,
        )
