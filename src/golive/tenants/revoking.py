"""Revoking tokens: one by its id, all of a user's, or all of an issuer's made up to a moment. For CLI and API alike.

Tokens are the issuer's: golive cannot take one back there, it only stops taking it. Every replica learns of it within
`verifier.POLL_S`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Literal

from golive.config.auth import OidcConfig
from golive.config.auth_faults import reached
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import InvalidRequest, NotFound, StoreError
from golive.core.people import MAX_USER_CHARS
from golive.store.ports import KeyRow
from golive.store.revocation import EVERY_TENANT, RevocationStore, TokenRevocation
from golive.tenants.makers import Maker

MARGIN_S = 60.0
"""A revocation is kept so much longer than any token that it means can be valid."""

PRUNE_S = 3_600.0
"""How often those are removed that mean no token any more."""


async def prune_for_ever(store: RevocationStore, clock: Clock, failed: Callable[[StoreError], None]) -> None:
    """Removes what no token that is still valid can be meant by; a store that cannot be written is tried again."""
    while True:
        try:
            await store.prune(clock.now())
        except StoreError as error:
            failed(error)
        await asyncio.sleep(PRUNE_S)


EndKeys = Callable[[Callable[[Maker], bool], float], Awaitable[Collection[KeyRow]]]


async def no_keys(theirs: Callable[[Maker], bool], before: float) -> Collection[KeyRow]:
    """Where there are no keys."""
    return ()


class TokenAdmin:
    """Writes and lists revocations."""

    def __init__(
        self,
        store: RevocationStore,
        issuers: Mapping[str, OidcConfig],
        clock: Clock,
        chance: Chance,
        changed: Callable[[], Awaitable[None]] | None = None,
        session_s: float = 0.0,
        end_keys: EndKeys = no_keys,
    ) -> None:
        """Takes the sections of [auth.oidc] by their names.

        Args:
            changed: awaited after each revocation: a server's own verifier, which then counts it at once.
            session_s: how long a browser's session goes on that began with a token; 0: there are none.
            end_keys: revokes the API keys of people that were made up to a moment.
        """
        self._store = store
        self._issuers = issuers
        self._clock = clock
        self._chance = chance
        self._changed = changed
        self._session_s = session_s
        self._end_keys = end_keys

    async def revoke(
        self,
        tenant: str,
        *,
        by: str,
        issuer: str | None = None,
        jti: str | None = None,
        user: str | None = None,
        before: float | None = None,
    ) -> tuple[TokenRevocation, Collection[KeyRow]]:
        """Stops taking tokens in a tenant, or with `EVERY_TENANT` in all; durable on return.

        With a user's tokens, or all of an issuer, go the API keys that these people made by then, and their sessions:
        what is revoked, and the keys.

        Args:
            by: the principal's id, or "cli".
            issuer: the section's name; may be left out where there is one only.
            jti: the one token of that id.
            user: all of that user, as golive shows them, or without the issuer's `user_prefix`; with neither, all of
                the issuer.
            before: made at or before then (seconds since the epoch); now when absent.

        Raises:
            NotFound: there is no such section. InvalidRequest: it does not say which tokens.
        """
        now = self._clock.now()
        if jti is not None and (user is not None or before is not None):
            raise InvalidRequest(
                "A token is named by its id alone.", remedy="Leave out `user` and `before`, or `jti`.", field="jti",
                value=jti[:40],
            )  # fmt: skip
        for field, text in (("jti", jti), ("user", user)):
            if text is not None and not (0 < len(text) <= MAX_USER_CHARS and text.isprintable()):
                raise InvalidRequest(
                    f"`{field}` is no name that a token can have.",
                    remedy=f"Give 1 to {MAX_USER_CHARS} printable characters, as they stand in the token.",
                    field=field, value=text[:40],
                )  # fmt: skip
        if before is not None and not 0 <= before <= now:
            raise InvalidRequest(
                "`before` lies in the future.", remedy="Give a moment that has passed; without it, now counts.",
                field="before", value=before,
            )  # fmt: skip
        config = self._issuer(issuer, tenant, user)
        if user is not None:
            user = user.removeprefix(config.user_prefix) or user
        kind: Literal["jti", "user", "issuer"] = "jti" if jti else "user" if user else "issuer"
        row = TokenRevocation(
            tenant=tenant,
            id=f"rev_{self._chance.token(10).hex()}",
            issuer=config.issuer,
            kind=kind,
            value=jti or user or "",
            before=0.0 if jti else now if before is None else before,
            until=now + max(config.max_life_s, self._session_s) + 2 * config.skew_s + MARGIN_S,
            created_at=now,
            created_by=by,
        )
        await self._store.add(row)
        if self._changed is not None:
            await self._changed()
        if jti is not None:
            return row, ()

        return row, await self._end_keys(lambda maker: _means(config, tenant, user, maker), row.before)

    async def list(self, tenant: str) -> list[TokenRevocation]:
        """What counts in the tenant and may still mean a token, the oldest first."""
        now = self._clock.now()
        return [row for row in await self._store.of(tenant) if row.until >= now]

    def _issuer(self, name: str | None, tenant: str, user: str | None) -> OidcConfig:
        """The section that is meant: where none is named, the one whose users are called as `user` is."""
        names = list(self._issuers)
        if name is None and len(names) > 1 and user is not None:
            names_so = [each for each in names if _may_be(self._issuers[each], tenant, user)]
            name = names_so[0] if len(names_so) == 1 else None
        if name is None and len(names) == 1:
            name = names[0]
        if name is None or name not in self._issuers:
            known = ", ".join(names) or "none: there is no [auth.oidc.NAME]"
            raise NotFound(
                "It does not say of which issuer." if name is None else f"There is no issuer {name[:40]!r}.",
                remedy=f"Name a section of [auth.oidc]: {known}.", field="issuer", value=(name or "")[:40],
            )  # fmt: skip
        return self._issuers[name]


def _may_be(config: OidcConfig, tenant: str, user: str) -> bool:
    """Whether a user of that name in that tenant (`EVERY_TENANT`: in any) can be one of the issuer's."""
    tenants = reached(config)
    return user.startswith(config.user_prefix) and (tenants is None or tenant == EVERY_TENANT or tenant in tenants)


def _means(config: OidcConfig, tenant: str, user: str | None, maker: Maker) -> bool:
    """Whether tokens of a person are meant; `user` is named as the issuer does, None: all of the issuer."""
    home, name = maker
    if tenant not in (home, EVERY_TENANT) or home not in (reached(config) or (home,)):
        return False
    return name.startswith(config.user_prefix) if user is None else name == config.user_prefix + user
