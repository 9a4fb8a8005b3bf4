"""What may stand in [auth] of golive.toml: whose tokens are taken instead of API keys, and what their claims mean."""

from typing import Annotated, Literal

from pydantic import Field

from golive.config.section import CLAIM, ISSUER, SCOPE, Name, Seconds, SecretRef, Section

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
]  # fmt: skip
"""Signatures by a private key, checked with a public one. `none` and HS* (a shared secret) cannot be written."""
IssuerUrl = Annotated[str, Field(pattern=ISSUER)]
Claim = Annotated[str, Field(pattern=CLAIM)]


class OidcConfig(Section):
    """[auth.oidc.NAME]: an OpenID Connect issuer whose access tokens (JWT) are taken as credentials."""

    issuer: IssuerUrl
    """The issuer exactly as it stands in `iss` of its tokens, a slash at its end included, such as
    https://login.example.com/realms/acme. Its keys are found through /.well-known/openid-configuration below it."""
    audience: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)]
    """What `aud` must hold one of: the name under which the issuer knows this installation."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "ES256", "EdDSA")
    """Signature algorithms that are taken."""
    tokens: Literal["access", "at+jwt", "any"] = "access"
    """Which tokens are taken. `access`: all but those that show themselves as something else, such as ID tokens (by
    `nonce`, `at_hash` or their type) and refresh tokens. `at+jwt`: only access tokens that say so in their header
    (RFC 9068). `any`: ID tokens too."""
    jwks_url: IssuerUrl | None = None
    """Where the key set is, for issuers without discovery."""
    insecure_http: bool = False
    """Whether keys may be fetched over plain HTTP from another machine: whoever stands in between can then sign in as
    anybody. On this machine HTTP is always allowed."""
    skew_s: Annotated[float, Field(ge=0, le=300)] = 60.0
    """By how much the issuer's clock may differ from this one's."""
    max_life_s: Seconds = 86_400.0
    """Tokens that are valid for longer (from `iat` to `exp`) are refused. No revocation need be kept for longer."""
    keys_s: Annotated[float, Field(ge=60, le=86_400)] = 900.0
    """How long a key set is used before it is read again; an issuer's own max-age (60 s or more) that is shorter
    counts. A token by an unknown key has it read at once, at most every 10 s."""
    keys_stale_s: Annotated[float, Field(ge=0, le=2_592_000)] = 86_400.0
    """How much longer the last key set is used while the issuer does not answer."""
    tenant: Name | None = None
    """The tenant of all users of this issuer; `default` when neither this nor `tenant_claim` is set."""
    tenant_claim: Claim | None = None
    """Claim that names the user's tenant. A path such as `org.name` leads into objects."""
    tenants: dict[str, Name] = {}
    """Value of `tenant_claim` = tenant. When empty, the value itself is the tenant's name; else no other is taken."""
    user_claim: Claim = "sub"
    """Claim that names the user, unique and never given to another: journals and the audit log name it."""
    user_prefix: Annotated[str, Field(pattern=r"^[!-~]{0,50}$")] = ""
    """Put before the user's name, such as `acme:`, where users of another issuer may be of the same tenant: else one
    could bear the other's name."""
    roles_claim: Claim | None = None
    """Claim that holds the user's roles or groups: a list, or a text with spaces between, such as
    `realm_access.roles`."""
    roles: dict[str, Name] = {}
    """Value in `roles_claim` = role here. Of several that map, all count."""
    role: Name | None = None
    """The role of users whose token holds none that maps."""
    no_role: Literal["forbid", "refuse"] = "forbid"
    """Without `role`, what a token with no role that maps is answered: `forbid` 403, for who asks is known and may do
    nothing; `refuse` 401, as if it were not valid."""
    agents_claim: Claim | None = None
    """Claim that lists the agents the user may use (names, or patterns such as `shop-*`): it only narrows what the role
    allows, and leaves no models for plain calls. A token without it may use none."""
    client_id: Annotated[str, Field(pattern=CLAIM)] | None = None
    """With it people log in with this issuer in their browser (/login): what the issuer calls golive. Register
    `PUBLIC_URL/login/callback/NAME` there as redirect URI. What the ID token says is mapped as above."""
    client_secret: SecretRef | None = None
    """Reference to the client's secret; absent for a public client, which proves itself by PKCE alone."""
    client_auth: Literal["auto", "basic", "post"] = "auto"
    """How the secret is shown to the issuer: in the header, or in the body. `auto`: as its discovery document says."""
    scopes: Annotated[tuple[Annotated[str, Field(pattern=SCOPE)], ...], Field(max_length=32)] = ("openid",)
    """What is asked for at a login, such as `["openid", "profile", "groups"]`; `openid` is always."""
    title: Annotated[str, Field(min_length=1, max_length=60)] | None = None
    """What the button of the login page says; the section's name when absent."""


class AuthConfig(Section):
    """[auth]: credentials beside API keys."""

    keys_of_people_days: Annotated[float, Field(gt=0, le=3_660)] = 90.0
    """How long an API key may work that a person makes (with a token, or in a browser), or a key of theirs; one without
    an end gets this one. It ends with the person before that: `docs/security/access.md`."""
    oidc: Annotated[dict[Name, OidcConfig], Field(max_length=32)] = {}
