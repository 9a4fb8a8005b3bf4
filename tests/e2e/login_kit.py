"""What the tests of logins share: a server that people log in at with a real issuer, and how far one came."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from golive.gateway.cookies import COOKIE, LOCAL_COOKIE
from tests.browser_kit import Browser, Page
from tests.e2e.process_kit import Project, project
from tests.oidc_kit import Provider

SECTION = """
[auth.oidc.{name}]
issuer = "{issuer}"
audience = ["an-api"]
client_id = "golive-web"
client_secret = "env:CLIENT_SECRET"
scopes = ["openid", "profile"]
roles_claim = "groups"
user_prefix = "{prefix}"
{more}

[auth.oidc.{name}.roles]
"golive-users" = "user"
"golive-ops" = "operator"
"""
UNBELIEVED = "What corp says of you cannot be believed here. Its operator finds in the log what is wrong."
NOT_BEGUN = "This login was not begun in this browser, was used already, or took too long. Begin again."


def section(issuer: str, name: str = "corp", prefix: str = "", more: str = "") -> str:
    return SECTION.format(name=name, issuer=issuer, prefix=prefix, more=more)


@asynccontextmanager
async def log_in_at(folder: Path, issuer: Provider) -> AsyncIterator[Project]:
    """A server with the issuer as `corp`, where alice is a user."""
    async with project(folder, section(issuer.issuer)) as made:
        made.environ["CLIENT_SECRET"] = "s3cret and more"
        await made.serve()
        await issuer.user("alice", groups=["golive-users", "staff"])
        yield made


def logged(served: Project, event: str) -> list[dict[str, Any]]:
    return [line for line in served.log() if line["event"] == event]


def reasons(served: Project) -> list[str]:
    return [line["reason"] for line in logged(served, "session.refused")]


async def answer_of(there: Browser, served: Project, issuer: Provider, sub: str = "alice") -> str:
    """The address that the issuer sends the browser back to, before it goes there."""
    page = await there.log_in(f"{served.url}/login/start/corp", sub, stop=f"{served.url}/login/callback")
    assert urlsplit(page.url).path == "/login/callback/corp"
    return page.url


async def nobody(there: Browser, served: Project, page: Page, status: int, said: str) -> None:
    """No session came of it, and the page says so in plain words."""
    assert (page.status, page.said) == (status, said)
    assert not any(cookie.startswith((f"{LOCAL_COOKIE}=", f"{COOKIE}=")) for cookie in page.cookies)
    assert (await there.go(f"{served.url}/v1/agents")).status == 401
