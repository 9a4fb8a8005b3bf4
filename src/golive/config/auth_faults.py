"""What [auth] says that cannot be meant, or that would let strangers in."""

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from golive.config.auth import OidcConfig
from golive.config.contradictions import Origin, idle
from golive.config.problems import Problem
from golive.config.schema import GoliveConfig
from golive.config.tree import KeyPath, dotted


def auth_faults(config: GoliveConfig, origin_of: Origin) -> Iterator[Problem]:
    """All of them."""
    seen: dict[str, str] = {}
    for name, oidc in config.auth.oidc.items():
        path: KeyPath = ("auth", "oidc", name)
        if oidc.issuer in seen:
            yield idle(
                (*path, "issuer"), oidc.issuer, origin_of,
                f"which is that of [auth.oidc.{seen[oidc.issuer]}] too: a token could mean either.",
                "Name an issuer once; `audience` takes several.",
            )  # fmt: skip
        seen.setdefault(oidc.issuer, name)
        yield from _plain_http(path, oidc, origin_of)
        yield from _tenants(path, oidc, origin_of)
        yield from _roles(path, oidc, origin_of)
        yield from _same_users(config, name, origin_of)
        yield from _login(config, path, oidc, origin_of)
    public = config.server.public_url
    if public is not None and not is_safe(public):
        yield idle(
            ("server", "public_url"), public, origin_of, "which is plain HTTP: browsers keep no session there.",
            "Write https://…, and let golive or the proxy before it speak TLS.",
        )  # fmt: skip


def is_safe(url: str) -> bool:
    """Whether nobody between here and the address can change what it answers: HTTPS, or this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    host = parts.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _plain_http(path: KeyPath, oidc: OidcConfig, origin_of: Origin) -> Iterator[Problem]:
    for key in ("issuer", "jwks_url"):
        url = getattr(oidc, key)
        if url is not None and not is_safe(url) and not oidc.insecure_http:
            yield idle(
                (*path, key), url, origin_of,
                "which is plain HTTP on another machine: whoever stands in between could sign in as anybody.",
                "Use https://; a test installation may set `insecure_http = true`.",
            )  # fmt: skip


def _login(config: GoliveConfig, path: KeyPath, oidc: OidcConfig, origin_of: Origin) -> Iterator[Problem]:
    """What is said of logging in by who cannot."""
    if oidc.client_id is None:
        if oidc.client_secret is not None:
            yield _nothing(
                (*path, "client_secret"), "is set, but without `client_id` nobody logs in with this issuer.",
                "Set that, or remove it.", origin_of,
            )  # fmt: skip
        return
    if not config.server.sessions.enabled:
        yield idle(
            (*path, "client_id"), oidc.client_id, origin_of, "but server.sessions.enabled is false: nobody logs in.",
            "Keep one of the two.",
        )  # fmt: skip
    if oidc.client_auth != "auto" and oidc.client_secret is None:
        yield idle(
            (*path, "client_auth"), oidc.client_auth, origin_of, "but there is no `client_secret` to show.",
            "Set that, or remove it.",
        )  # fmt: skip


def _tenants(path: KeyPath, oidc: OidcConfig, origin_of: Origin) -> Iterator[Problem]:
    if oidc.tenant is not None and oidc.tenant_claim is not None:
        yield idle(
            (*path, "tenant"), oidc.tenant, origin_of, "but `tenant_claim` says that each token names its own.",
            "Keep one of the two.",
        )  # fmt: skip
    if oidc.tenants and oidc.tenant_claim is None:
        yield _nothing((*path, "tenants"), "but no claim is mapped without `tenant_claim`.", "Set that.", origin_of)


def _same_users(config: GoliveConfig, name: str, origin_of: Origin) -> Iterator[Problem]:
    """Of two issuers whose users may be of one tenant under one name, the later one."""
    oidc = config.auth.oidc[name]
    for other, before in config.auth.oidc.items():
        if other == name:
            return
        mine, theirs = reached(oidc), reached(before)
        if mine is not None and theirs is not None and not mine & theirs:
            continue
        shorter, longer = sorted((oidc.user_prefix, before.user_prefix), key=len)
        if not longer.startswith(shorter):
            continue
        why = "is the same as" if shorter == longer else (
            f"({oidc.user_prefix!r}) is the beginning of" if oidc.user_prefix == shorter else
            f"({oidc.user_prefix!r}) begins with"
        )  # fmt: skip
        yield _nothing(
            ("auth", "oidc", name, "user_prefix"),
            f"{why} that of [auth.oidc.{other}] ({before.user_prefix!r}), and users of both may be of one tenant: two "
            "people could bear one name.",
            f'Give both prefixes of which neither begins with the other, such as `user_prefix = "{other}:"` and '
            f'`"{name}:"`.', origin_of,
        )  # fmt: skip


def reached(oidc: OidcConfig) -> frozenset[str] | None:
    """The tenants that its users may be of; None: any."""
    if oidc.tenant_claim is None:
        return frozenset({oidc.tenant or "default"})
    return frozenset(oidc.tenants.values()) or None


def _roles(path: KeyPath, oidc: OidcConfig, origin_of: Origin) -> Iterator[Problem]:
    if oidc.roles and oidc.roles_claim is None:
        yield _nothing((*path, "roles"), "but no claim is mapped without `roles_claim`.", "Set that.", origin_of)
    if not oidc.roles and oidc.roles_claim is not None:
        yield _nothing(
            (*path, "roles_claim"), "is set, but `roles` maps none of its values: it gives nobody a role.",
            f'Write [{dotted((*path, "roles"))}] with lines such as `golive-users = "user"`.', origin_of,
        )  # fmt: skip
    if not oidc.roles and oidc.roles_claim is None and oidc.role is None:
        yield _nothing(
            (*path, "role"), "is not set, nor is `roles_claim`: no user of this issuer could do anything.",
            'Map a claim (`roles_claim`, `roles`), or give all the same role: `role = "user"`.', origin_of,
        )  # fmt: skip
    if oidc.no_role == "refuse" and oidc.role is not None:
        yield idle(
            (*path, "no_role"), "refuse", origin_of, f"but every user has a role: `role` is {oidc.role}.",
            "Remove one of the two.",
        )  # fmt: skip


def _nothing(path: KeyPath, why: str, remedy: str, origin_of: Origin) -> Problem:
    key = dotted(path)
    return Problem(key, "", origin_of(path), f"`{key}` {why}", remedy)
