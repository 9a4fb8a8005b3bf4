"""[auth.oidc]: what it may hold, and what is refused because it would let strangers in, or nobody."""

from pathlib import Path

import pytest

from golive.config.auth_faults import is_safe
from golive.config.load import load
from golive.config.secret_use import of_others
from golive.core.errors import ConfigError

SECTION = """
[auth.oidc.corp]
issuer = "https://login.example.com/realms/acme"
audience = ["golive"]
role = "user"
"""


def written(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "golive.toml").write_text(text)
    return folder


def test_a_section_has_safe_defaults(tmp_path: Path) -> None:
    """Pinned algorithms, access tokens alone, a minute of skew, a day of life at most."""
    oidc = load(written(tmp_path, SECTION), {}).config.auth.oidc["corp"]
    assert oidc.algorithms == ("RS256", "ES256", "EdDSA")
    assert (oidc.tokens, oidc.skew_s, oidc.max_life_s, oidc.insecure_http) == ("access", 60, 86_400, False)
    assert (oidc.tenant, oidc.user_claim, oidc.no_role) == (None, "sub", "forbid")


def test_the_environment_stands_above_the_file(tmp_path: Path) -> None:
    """A free name below a section, a list."""
    environ = {"GOLIVE_AUTH__OIDC__CORP__AUDIENCE": "a,b", "GOLIVE_AUTH__OIDC__OTHER__ISSUER": "https://b.example"}
    environ |= {"GOLIVE_AUTH__OIDC__OTHER__AUDIENCE": "a", "GOLIVE_AUTH__OIDC__OTHER__ROLE": "viewer"}
    environ |= {"GOLIVE_AUTH__OIDC__OTHER__TENANT": "b"}
    found = load(written(tmp_path, SECTION), environ).config.auth.oidc
    assert found["corp"].audience == ("a", "b")
    assert (found["other"].issuer, found["other"].role) == ("https://b.example", "viewer")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('algorithms = ["none"]', 'algorithms[0]` must be one of "RS256"'),
        ('algorithms = ["none"]', 'but is the text "none".'),
        ('client_secret = "hunter2"', "(not shown)"),
        ('algorithms = ["HS256"]', 'algorithms[0]` must be one of "RS256"'),
        ("algorithms = []", "must have at least 1 entry"),
        ("skew_s = 3600", "skew_s` must be a number from 0 to 300"),
        ('jwks_url = "http://10.0.0.7/keys"', "plain HTTP on another machine"),
        ('jwks_url = "https://user:pass@example.com/keys"', "must be an address such as"),
        ('tenant = "acme"\ntenant_claim = "org"', "`tenant_claim` says that each token names its own"),
        ('tenants = {a = "b"}', "no claim is mapped without `tenant_claim`"),
        ('roles = {a = "user"}', "no claim is mapped without `roles_claim`"),
        ('roles_claim = "groups"', "it gives nobody a role"),
        ('no_role = "refuse"', "every user has a role"),
        ('roles_claim = "a b"', "the name of a claim, or a path"),
        ('user_prefix = "a b"', "user_prefix"),
        ('client_secret = "env:X"', "without `client_id` nobody logs in with this issuer"),
        ('client_secret = "s3cret"', "a reference to a secret"),
        ('client_id = "web"\nclient_auth = "post"', "there is no `client_secret` to show"),
        ('client_id = "a b"', "client_id"),
        ('client_id = "web"\nscopes = ["a b"]', "a scope without spaces"),
        ('client_id = "web"\n[server.sessions]\nenabled = false', "server.sessions.enabled is false"),
        ('[server]\npublic_url = "http://agents.example.com"', "plain HTTP: browsers keep no session there"),
        ('[server]\npublic_url = "https://agents.example.com/x"', "an exact origin"),
        ('audiences = ["x"]', "Did you mean `auth.oidc.corp.audience`?"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, more: str, told: str) -> None:
    """Each with what to do instead."""
    with pytest.raises(ConfigError) as error:
        load(written(tmp_path, SECTION + more), {})
    assert told in f"{error.value.message} {error.value.remedy}"


def test_a_section_in_which_nobody_could_do_anything_is_refused(tmp_path: Path) -> None:
    """Neither a role for all nor a claim that gives one."""
    with pytest.raises(ConfigError, match="no user of this issuer could do anything"):
        load(written(tmp_path, SECTION.replace('role = "user"', "")), {})


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ("", "", "two people could bear one name"),
        ('tenant = "acme"', 'tenant = "beta"', ""),
        ('user_prefix = "a:"', 'user_prefix = "b:"', ""),
        ("", 'user_prefix = "b:"', r"\('b:'\) begins with that of \[auth.oidc.corp\] \(''\)"),
        ('user_prefix = "b:"', "", r"\(''\) is the beginning of that of \[auth.oidc.corp\] \('b:'\)"),
        ('user_prefix = "b:"', 'user_prefix = "b:c:"', "of which neither begins with the other"),
        ('tenant = "acme"', 'tenant = "beta"\nuser_prefix = "b:"', ""),
        ('tenant = "acme"', 'tenant_claim = "org"', "two people could bear one name"),
        ('tenant = "acme"', 'tenant_claim = "org"\ntenants = {b = "beta"}', ""),
        ('tenant = "beta"', 'tenant_claim = "org"\ntenants = {b = "beta"}', "two people could bear one name"),
    ],
)
def test_users_of_two_issuers_never_bear_one_name(tmp_path: Path, first: str, second: str, told: str) -> None:
    """Unless their tenants differ, or their prefixes do from the first character on that they have both."""
    other = SECTION.replace("corp", "other").replace("realms/acme", "realms/other")
    place = written(tmp_path, SECTION + first + other + second)
    if not told:
        assert set(load(place, {}).config.auth.oidc) == {"corp", "other"}
        return
    with pytest.raises(ConfigError, match=told):
        load(place, {})


def test_an_issuer_stands_in_one_section(tmp_path: Path) -> None:
    """A token could mean either."""
    other = SECTION.replace("corp", "other") + 'tenant = "b"\n'
    with pytest.raises(ConfigError, match=r"which is that of \[auth.oidc.corp\] too"):
        load(written(tmp_path, SECTION + other), {})


def test_plain_http_is_safe_on_this_machine_alone() -> None:
    """By address, not by how a name begins."""
    for url in (
        "https://a.example",
        "http://127.0.0.1:1/x",
        "http://[::1]:1",
        "http://localhost:1",
        "http://127.9.9.9",
    ):
        assert is_safe(url), url
    for url in ("http://a.example", "http://127.0.0.1.evil.example", "http://localhost.evil.example", "http://10.0.0.1",
                "http://0.0.0.0", "http://[::]", "http://127.0.0.1@evil.example"):  # fmt: skip
        assert not is_safe(url), url


def test_a_login_is_offered_with_an_id_and_needs_no_more(tmp_path: Path) -> None:
    """A public client, by PKCE; the secret of another is a reference that others gave: it is rotated and watched."""
    more = 'client_id = "web"\nclient_secret = "env:WEB_SECRET"\n'
    config = load(written(tmp_path, SECTION + more), {}).config
    oidc = config.auth.oidc["corp"]
    assert (oidc.client_id, oidc.client_auth, oidc.scopes, oidc.title) == ("web", "auto", ("openid",), None)
    assert of_others(config) == {"env:WEB_SECRET": ("auth.oidc.corp.client_secret",)}
