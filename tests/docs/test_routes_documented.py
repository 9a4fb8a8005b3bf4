"""Every route that a server can have stands on the page of the HTTP API, and nothing that it cannot."""

import re
from pathlib import Path

import pytest

from tests.e2e.access_kit import asked

PAGE = Path(__file__).parents[2] / "docs" / "http-api.md"
EVERYTHING = """
[server.sessions]
enabled = true

[auth.oidc.corp]
issuer = "http://127.0.0.1:9"
audience = ["golive"]
tenant = "default"
role = "user"
"""
_NAMED = re.compile(r"`(?:(GET|POST|DELETE|PUT|PATCH) )?(/[a-z][^`\s?]*)`")


def named(page: str) -> set[str]:
    """The requests that a page names; a path without a method is meant with GET."""
    return {f"{method or 'GET'} {path}" for method, path in _NAMED.findall(page)}


async def test_the_page_and_the_router_name_the_same_routes(tmp_path: Path) -> None:
    """With everything on that brings routes of its own: none is left out, none is invented."""
    async with asked(tmp_path, EVERYTHING) as server:
        routes = {f"{route.method} {route.path.replace('...}', '}')}" for route in server.server.gateway.router.routes}
    found = named(PAGE.read_text("utf-8"))
    assert sorted(routes - found) == [], "these stand nowhere in docs/http-api.md"
    assert sorted({each for each in found if "/v1/" in each} - routes) == [], "docs/http-api.md names what there is not"


@pytest.mark.parametrize("text", ["`GET /v1/nothing`", "`POST /v1/runs/{run}/nothing`", "`/v1/nothing`"])
def test_what_is_not_there_is_found(text: str) -> None:
    """A planted request is seen."""
    [request] = named(text)
    assert request.endswith("nothing")
