"""Who holds a signed token, answered on every request: from memory where it was verified before.

Owns the order of the checks and what is remembered. A verified token is remembered by its SHA-256 until it expires; all
are forgotten when a key of an issuer changes or something is revoked, which every replica learns within `POLL_S`.
Whatever is wrong, who asks is told one and the same; the reason goes to `refused`.

Beyond its form, `alg`, `kid` and `iss`, nothing in a token is looked at before its signature is found good.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence

from msgspec import Struct

from golive.config.auth import OidcConfig
from golive.core.clock import Clock
from golive.core.errors import ConfigError
from golive.core.following import Fault, Survived, untold
from golive.core.tasks import Tasks
from golive.store.revocation import TokenRevocation
from golive.tenants.authentication import unauthenticated
from golive.tenants.authorize import Principal
from golive.tenants.id_tokens import Expected
from golive.tenants.issuer import Fetch, Issuer, IssuerState
from golive.tenants.revoked import Revoked
from golive.tenants.roles import Limits, Role, narrowed
from golive.tenants.tokens import Identity, Reason, Refused, Token, check_claims, check_header, identity, parse

MAX_KNOWN = 20_000
"""Most verified tokens that are remembered (about 400 bytes each); the first one makes way."""
POLL_S = 0.25
"""How often the store's control version is read."""


class Refusal(Struct, frozen=True):
    """A token that was not taken. `issuer`: the section's name, "" where none matches. For logs: never for clients."""

    reason: Reason
    detail: str
    issuer: str = ""
    kid: str = ""
    user: str = ""


class Verified(Struct, frozen=True):
    """What became of a token that was taken."""

    issuer: str
    principal: Principal
    who: Identity


class RevocationSource(Struct, frozen=True):
    """Where revocations stand: `version` grows whenever they may have changed, `rows` reads all."""

    version: Callable[[], Awaitable[int]]
    rows: Callable[[], Awaitable[Sequence[TokenRevocation]]]


class TokenVerifier:
    """See the module. `start` reads revocations and begins to read keys; `authenticate` answers."""

    def __init__(
        self,
        issuers: Mapping[str, OidcConfig],
        *,
        role: Callable[[str], Role | None],
        fetch: Fetch,
        clock: Clock,
        source: RevocationSource,
        refused: Callable[[Refusal], None] = lambda _: None,
        accepted: Callable[[str, bool], None] = lambda _issuer, _remembered: None,
        told: Callable[[IssuerState], None] = lambda _: None,
        fault: Fault = untold,
    ) -> None:
        """Takes the sections of [auth.oidc] and what surrounds them.

        Args:
            role: a role by its name; None: there is no such role.
            refused: called with each refusal.
            accepted: called with the issuer's name, and whether the token was known already.
            told: called when an issuer's keys become readable, or no longer are.
            fault: told of what following the revocations raised, which goes on.

        Raises:
            ConfigError: a section names a role that there is not.
        """
        for name, config in issuers.items():
            _check_roles(name, config, role)
        self._role = role
        self._clock = clock
        self._source = source
        self._refused = refused
        self._accepted = accepted
        self.issuers: dict[str, Issuer] = {
            config.issuer: Issuer(name, config, fetch, clock, changed=self.forget, told=told)
            for name, config in issuers.items()
        }
        self._known: dict[bytes, tuple[float, Verified]] = {}
        self._revoked = Revoked()
        self._version = -1
        self._refreshing = asyncio.Lock()
        self._reading = Survived("tokens", fault)
        self._tasks = Tasks("tokens")

    async def start(self) -> None:
        """Reads what is revoked, and begins to follow it and the issuers' keys.

        Raises:
            StoreUnavailable: the store cannot be read.
        """
        await self.refresh()
        for issuer in self.issuers.values():
            issuer.start()
        self._tasks.start(self._follow(), "follow")

    async def close(self) -> None:
        """Stops following."""
        await self._tasks.close()
        for issuer in self.issuers.values():
            await issuer.close()

    @property
    def started(self) -> bool:
        """Whether it knows what is revoked."""
        return self._version >= 0

    async def authenticate(self, credential: str) -> Principal:
        """Who holds the token.

        Raises:
            Unauthenticated: always with the same words.
        """
        digest = hashlib.sha256(credential.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is not None and self._clock.now() < known[0]:
            self._accepted(known[1].issuer, True)
            return known[1].principal
        try:
            verified = await self.verify(credential)
        except Refused:
            raise unauthenticated() from None
        self._remember(digest, verified)
        self._accepted(verified.issuer, False)
        return verified.principal

    async def verify(self, text: str) -> Verified:
        """Every check, nothing from memory but the keys.

        Raises:
            Refused: told to `refused` already.
        """
        return await self._verified(text, None)

    async def verify_id(self, text: str, expected: Expected) -> Verified:
        """As `verify`, for the ID token of a login: it must be the answer to that very one.

        Raises:
            Refused: told to `refused` already.
        """
        return await self._verified(text, expected)

    def revoked(self, issuer: str, who: Identity) -> bool:
        """Whether what began with a token of the issuer's (its section's name) is over: the token is revoked, or the
        section is gone."""
        config = next((found.config for found in self.issuers.values() if found.name == issuer), None)
        return config is None or not self.started or self._revoked.covers(config.issuer, who)

    async def _verified(self, text: str, expected: Expected | None) -> Verified:
        name = kid = user = ""
        try:
            token = parse(text)
            kid = token.kid or ""
            issuer = self.issuers.get(token.issuer)
            if issuer is None:
                raise Refused("issuer", f"its issuer {ascii(token.issuer)[:200]} stands in no section of [auth.oidc]")
            name = issuer.name
            config = issuer.config if expected is None else expected.config_of(name, issuer.config)
            check_header(token, config)
            await _check_signature(token, issuer)
            check_claims(token, config, self._clock.now())
            if expected is not None:
                expected.check(token, config.client_id or "")
            who = identity(token, issuer.config)
            user = who.user
            if self._revoked.covers(token.issuer, who):
                raise Refused("revoked", "it is revoked")
            return Verified(name, self._principal(issuer.config, who), who)
        except Refused as error:
            self._refused(Refusal(error.reason, error.detail, name, ascii(kid)[1:-1][:100], user))
            raise

    def forget(self) -> None:
        """Nothing that was verified before counts any longer without being verified again."""
        self._known.clear()

    async def refresh(self) -> None:
        """Reads the revocations anew if the store's control version has changed."""
        async with self._refreshing:
            version = await self._source.version()
            if version == self._version:
                return
            self._revoked = Revoked(await self._source.rows())
            self._version = version
            self.forget()

    def states(self) -> list[IssuerState]:
        """Each issuer as it stands."""
        return [issuer.state() for issuer in self.issuers.values()]

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            with self._reading.look():  # what was revoked so far stays revoked
                await self.refresh()

    def _remember(self, digest: bytes, verified: Verified) -> None:
        while len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[digest] = (verified.who.expires_at, verified)

    def _principal(self, config: OidcConfig, who: Identity) -> Principal:
        roles = [role for role in map(self._role, who.roles) if role is not None]
        grants = tuple(grant for role in roles for grant in role.grants)
        if who.agents is not None:
            grants = narrowed(grants, Limits(agents=who.agents))
        return Principal(
            who.tenant, f"user:{config.user_prefix}{who.user}", "+".join(who.roles), grants,
            across=any(role.across for role in roles), expires_at=who.expires_at,
            own_runs=all(role.own_runs for role in roles),
        )  # fmt: skip


async def _check_signature(token: Token, issuer: Issuer) -> None:
    """Raises Refused unless the token is by a key of the issuer."""
    named = ascii(token.kid)[:100]
    key = await issuer.find(token.kid, token.alg)
    if key is None:
        raise Refused("key", f"the issuer has no key {named} for {token.alg}")
    if key.verify(token.signed, token.signature):
        return
    if token.kid is None:  # the one key that there was may have been replaced
        newer = await issuer.find_anew(None, token.alg)
        if newer is not None and newer is not key and newer.verify(token.signed, token.signature):
            return
    raise Refused("signature", f"its signature is not by the key {named}")


def _check_roles(name: str, config: OidcConfig, role: Callable[[str], Role | None]) -> None:
    """Raises ConfigError where the section gives a role that there is not."""
    for named in {*config.roles.values(), *([config.role] if config.role else [])}:
        if role(named) is None:
            raise ConfigError(
                f"[auth.oidc.{name}] gives the role {named!r}, which there is not.",
                remedy="Use a built-in role, or write [roles.NAME].",
                key=f"auth.oidc.{name}.roles", value=named,
            )  # fmt: skip
