"""Logging in with an issuer, without the browser: where it is sent, and what becomes of the answer it brings back.

The authorization code flow with PKCE (S256), a state, and a nonce, each made for one login and kept in the browser that
began it, sealed. Each issuer has a redirect address of its own, so that none can pass another's answer on as its own.
Owns the addresses of an issuer, what is sent to them, and reading the answers; `id_tokens.py` judges the token, the
gateway owns cookies, pages and sessions.

Source: OpenID Connect Core 1.0, 3.1; RFC 7636 (PKCE); RFC 9207 (`iss` in answers); RFC 9700 (best practice).
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus, urlencode

from msgspec import Struct

from golive.config.auth import OidcConfig
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import GoliveError
from golive.tenants.id_tokens import Expected, mapping_of
from golive.tenants.issuer import FETCH_S, Fetch, Fetched, FetchFailed, address_in, discovery_url, document_of
from golive.tenants.sealed_slips import Pending, Session
from golive.tenants.tokens import Identity, Refused
from golive.tenants.verifier import TokenVerifier, Verified

LOGIN_S = 600.0
"""How long a login may take, from the button to the answer."""
TOKEN_S = 10.0
"""Longest wait for an issuer to change a code for tokens."""
AT_ONCE = 16
"""Codes that are changed at the same time; more logins are told to try again."""
_MAX_TOKEN_CHARS = 65_536

Post = Callable[[str, Mapping[str, str], bytes], Awaitable[Fetched]]
"""POSTs a form, following no redirect. Raises FetchFailed."""


class NotLoggedIn(Exception):
    """A login that came to nothing. `status`: of the page; `words`, `remedy`: for whoever logs in; `reason`, `detail`:
    for whoever runs the server."""

    def __init__(self, status: int, words: str, remedy: str, *, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.status = status
        self.words = words
        self.remedy = remedy
        self.reason = reason
        self.detail = detail


class Endpoints(Struct, frozen=True):
    """Where an issuer is asked. `basic`: whether it takes the client's secret in the header; `names_itself`: whether
    its answers say `iss`; `end_session`: where people end their session at the issuer, "" where it names no such place.
    """

    authorization: str
    token: str
    basic: bool
    names_itself: bool
    end_session: str = ""


_AGAIN = "Begin again."
_OPERATOR = "Its operator finds in the log what is wrong."
_TOLD: Mapping[str, tuple[int, str, str]] = {
    "access_denied": (403, "{issuer} says that access was denied.", "Begin again, or ask who runs it for access."),
    "login_required": (401, "{issuer} says that you have to log in there first.", _AGAIN),
    "interaction_required": (401, "{issuer} wants to ask you something first.", _AGAIN),
    "consent_required": (403, "{issuer} says that you have not agreed.", "Begin again, and agree there."),
    "account_selection_required": (401, "{issuer} says that you have to choose an account.", _AGAIN),
    "temporarily_unavailable": (503, "{issuer} is overloaded or under repair.", "Try again in a while."),
    "server_error": (502, "{issuer} says that it has a fault of its own.", "Try again in a while."),
}
_REFUSED_US = (502, "{issuer} did not accept how this server asked.", _OPERATOR)


class CodeFlow:
    """Begins and ends logins with the issuers of a verifier that have a `client_id`."""

    def __init__(
        self, verifier: TokenVerifier, fetch: Fetch, post: Post, resolve: Callable[[str], str], clock: Clock,
        chance: Chance,
    ) -> None:  # fmt: skip
        """`resolve`: the value behind a reference to a secret."""
        self._verifier = verifier
        self._fetch = fetch
        self._post = post
        self._resolve = resolve
        self._clock = clock
        self._chance = chance
        self._configs: dict[str, OidcConfig] = {
            issuer.name: issuer.config for issuer in verifier.issuers.values() if issuer.config.client_id is not None
        }
        self._mappings = {name: mapping_of(config) for name, config in self._configs.items()}
        self._known: dict[str, tuple[float, Endpoints]] = {}
        self._exchanging = 0

    def offered(self) -> list[tuple[str, str]]:
        """(name, title) of each issuer that people may log in with."""
        return [(name, config.title or name) for name, config in self._configs.items()]

    # ---- to the issuer -----------------------------------------------------------------------------------------------

    async def begin(self, name: str, redirect_uri: str, then: str) -> tuple[str, Pending]:
        """The address that the browser is sent to, and what it must bring back.

        Raises:
            NotLoggedIn: there is no such issuer, or it cannot be asked now.
        """
        config = self._configs.get(name)
        if config is None:
            raise NotLoggedIn(404, "Nobody logs in here by that name.", "Begin at /login.", reason="no_issuer")
        endpoints = await self._endpoints(name, config)
        made = [base64.urlsafe_b64encode(self._chance.token(32)).rstrip(b"=").decode() for _ in range(3)]
        state, nonce, verifier = made
        pending = Pending(name, state, nonce, verifier, redirect_uri, then, self._clock.now() + LOGIN_S)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        asked = {
            "response_type": "code", "client_id": config.client_id or "", "redirect_uri": redirect_uri,
            "scope": " ".join(dict.fromkeys(("openid", *config.scopes))), "state": state, "nonce": nonce,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        joint = "&" if "?" in endpoints.authorization else "?"
        return f"{endpoints.authorization}{joint}{urlencode(asked)}", pending

    # ---- and back ----------------------------------------------------------------------------------------------------

    def check(self, name: str, pending: Pending | None, answer: Sequence[tuple[str, str]]) -> Pending:
        """The login that an answer at the issuer's redirect address belongs to.

        Raises:
            NotLoggedIn: none of this browser's; always in the same words.
        """
        told = [value for key, value in answer if key == "state"]
        reason = ""
        if pending is None:
            reason = "no_cookie"
        elif len(told) != 1 or not hmac.compare_digest(told[0].encode(), pending.state.encode()):
            reason = "state"
        elif pending.issuer != name or name not in self._configs:
            reason = "mixed_up"
        elif self._clock.now() >= pending.expires_at:
            reason = "late"
        if reason or pending is None:
            raise not_begun(reason)
        return pending

    async def finish(self, pending: Pending, answer: Sequence[tuple[str, str]]) -> Verified:
        """Whoever logged in, by the answer to this very login. Takes the code, once `check` has passed.

        Raises:
            NotLoggedIn: the issuer refused, cannot be asked, or what it says is not believed.
        """
        config = self._configs[pending.issuer]
        named = config.title or pending.issuer
        said = dict(answer)
        if len(said) != len(answer):
            raise not_begun("twice")
        endpoints = await self._endpoints(pending.issuer, config)
        if said.get("iss", None if endpoints.names_itself else config.issuer) != config.issuer:
            raise not_begun("mixed_up")
        if "error" in said:
            status, words, remedy = _TOLD.get(said["error"], _REFUSED_US)
            detail = ascii(f"{said['error'][:60]}: {said.get('error_description', '')[:200]}")
            raise NotLoggedIn(status, words.format(issuer=named), remedy, reason="issuer_refused", detail=detail)
        if not said.get("code"):
            raise not_begun("no_code")
        id_token, access_token = await self._change(pending, config, endpoints, said["code"])
        try:
            return await self._verifier.verify_id(id_token, Expected(pending.issuer, pending.nonce, access_token))
        except Refused as error:
            raise _unbelieved(named, error) from None

    def session_of(self, verified: Verified, session: Session) -> Session:
        """The session with what ends it beside its own time."""
        who, name = verified.who, verified.issuer
        return Session(
            session.tenant, session.id, session.key, session.seen_at, session.ends_at, name, self._mappings[name],
            who.user, who.issued_at, who.jti,
        )  # fmt: skip

    def stands(self, session: Session) -> bool:
        """Whether a session that began with an issuer may go on: the issuer's section makes the same of its tokens as
        then, and they are not revoked."""
        if self._mappings.get(session.issuer) != session.mapping:
            return False
        who = Identity(session.tenant, session.user, (), None, session.ends_at, session.issued_at, session.jti)
        return not self._verifier.revoked(session.issuer, who)

    async def leaving(self, name: str) -> str:
        """Where somebody who logged in with the issuer can end their session there, too; "": nowhere, or not known now.

        Source: OpenID Connect RP-Initiated Logout 1.0. golive keeps no ID token: the issuer asks before it ends it.
        """
        config = self._configs.get(name)
        if config is None or config.client_id is None:
            return ""
        try:
            place = (await self._endpoints(name, config)).end_session
        except NotLoggedIn:
            return ""
        joint = "&" if "?" in place else "?"
        return f"{place}{joint}{urlencode({'client_id': config.client_id})}" if place else ""

    # ---- asking ------------------------------------------------------------------------------------------------------

    async def _endpoints(self, name: str, config: OidcConfig) -> Endpoints:
        """Where the issuer is asked; read anew as often as its keys, and kept while it does not answer."""
        known = self._known.get(name)
        if known is not None and self._clock.monotonic() < known[0]:
            return known[1]
        try:
            async with asyncio.timeout(FETCH_S):
                fetched = await self._fetch(discovery_url(config))
            if fetched.status != 200:
                raise FetchFailed(f"{discovery_url(config)} answered {fetched.status}")
            found = _endpoints(document_of(fetched, config, "authorization_endpoint", "token_endpoint"), config)
        except (FetchFailed, TimeoutError) as error:
            if known is not None:
                return known[1]
            detail = str(error) or f"no answer within {FETCH_S:g} s"
            raise _away(config.title or name, detail) from None
        self._known[name] = (self._clock.monotonic() + config.keys_s, found)
        return found

    async def _change(
        self, pending: Pending, config: OidcConfig, endpoints: Endpoints, code: str
    ) -> tuple[str, str | None]:
        """The ID token and the access token for a code."""
        named = config.title or pending.issuer
        if self._exchanging >= AT_ONCE:
            raise NotLoggedIn(503, "Too many people log in at this moment.", "Try again.", reason="crowded")
        headers, form = self._form(pending, config, endpoints, code)
        self._exchanging += 1
        try:
            async with asyncio.timeout(TOKEN_S):
                fetched = await self._post(endpoints.token, headers, urlencode(form).encode())
        except (FetchFailed, TimeoutError) as error:
            raise _away(named, str(error) or f"no answer within {TOKEN_S:g} s") from None
        finally:
            self._exchanging -= 1
        try:
            told: Any = json.loads(fetched.body.decode())
        except (ValueError, RecursionError):
            told = None
        told = told if isinstance(told, dict) else {}
        id_token, access_token = told.get("id_token"), told.get("access_token")
        if fetched.status != 200:
            refusal = str(told.get("error", ""))[:60]
            words = (401, "{issuer} did not accept the answer that your browser brought.", _AGAIN)
            status, text, remedy = words if refusal == "invalid_grant" else _REFUSED_US
            detail = ascii(f"token endpoint {fetched.status} {refusal}: {str(told.get('error_description', ''))[:200]}")
            raise NotLoggedIn(status, text.format(issuer=named), remedy, reason="code_refused", detail=detail)
        if not isinstance(id_token, str) or not isinstance(access_token, str | None):
            raise NotLoggedIn(
                502, f"{named} sent no ID token.", _OPERATOR, reason="no_id_token", detail="scope openid not granted?"
            )
        if access_token is not None and len(access_token) > _MAX_TOKEN_CHARS:
            access_token = None
        return id_token, access_token

    def _form(
        self, pending: Pending, config: OidcConfig, endpoints: Endpoints, code: str
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Headers and fields of the request for tokens."""
        client = config.client_id or ""
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": pending.redirect_uri,
            "code_verifier": pending.verifier,
        }  # fmt: skip
        if config.client_secret is None:
            return {}, form | {"client_id": client}
        try:
            secret = self._resolve(config.client_secret)
        except GoliveError as error:
            raise NotLoggedIn(
                500, "This server cannot prove itself to the issuer.", _OPERATOR, reason="secret", detail=str(error)
            ) from None
        if config.client_auth == "post" or (config.client_auth == "auto" and not endpoints.basic):
            return {}, form | {"client_id": client, "client_secret": secret}
        pair = base64.b64encode(f"{quote_plus(client)}:{quote_plus(secret)}".encode()).decode()
        return {"Authorization": f"Basic {pair}"}, form


def not_begun(reason: str) -> NotLoggedIn:
    """The one refusal of every answer that is not to a login of this browser's."""
    return NotLoggedIn(
        400, "This login was not begun in this browser, was used already, or took too long.", _AGAIN, reason=reason
    )


def _away(named: str, detail: str) -> NotLoggedIn:
    return NotLoggedIn(503, f"{named} does not answer as it should.", "Try again in a while.", reason="away",
                       detail=detail)  # fmt: skip


def _unbelieved(named: str, error: Refused) -> NotLoggedIn:
    if error.reason in ("role", "tenant"):
        return NotLoggedIn(
            403, f"{named} knows you, and your account may do nothing here.", "Ask its administrator for a role.",
            reason=error.reason, detail=error.detail,
        )  # fmt: skip
    return NotLoggedIn(
        401, f"What {named} says of you cannot be believed here.", _OPERATOR, reason=error.reason, detail=error.detail
    )


def _endpoints(document: dict[str, Any], config: OidcConfig) -> Endpoints:
    methods = document.get("token_endpoint_auth_methods_supported")
    basic = not isinstance(methods, list) or "client_secret_basic" in methods or "client_secret_post" not in methods
    return Endpoints(
        address_in(document, "authorization_endpoint", config), address_in(document, "token_endpoint", config), basic,
        document.get("authorization_response_iss_parameter_supported") is True, _end_session(document, config),
    )  # fmt: skip


def _end_session(document: dict[str, Any], config: OidcConfig) -> str:
    """Nobody is kept from logging in because this address cannot be used."""
    try:
        return address_in(document, "end_session_endpoint", config) if "end_session_endpoint" in document else ""
    except FetchFailed:
        return ""
