"""What no database can hold is refused on every route, by PostgreSQL's face to the world as by SQLite's."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.e2e.access_kit import Asked, asked
from tests.e2e.test_access_matrix import BODIES, name_of, path_of
from tests.postgres_kit import Database

ODD = ("\0", "a\0b", "\x1b[2J", "\x9b", "%00", "a%00", "%1b")
"""As they are once a path was decoded; names of users are decoded once more."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Asked]:
    """On PostgreSQL, which refuses NUL in every text."""
    database = Database()
    try:
        async with asked(tmp_path, f'\n[store]\nurl = "{database.url}"\n') as running:
            yield running
    finally:
        database.drop()


async def test_no_path_names_what_no_store_holds(server: Asked) -> None:
    """Every parameter of every route, with the others as they are: there is nothing there."""
    key = await server.key("platform")
    run = await server.run(key, "support")
    wrong, tried = [], 0
    for route in server.server.gateway.router.routes:
        names = [part for part in route.path.split("/") if part.startswith("{")]
        for name in names:
            for odd in ODD:
                whole = path_of(route, run, "support", "abc")
                at = route.path.split("/").index(name)
                path = "/".join([*whole.split("/")[:at], odd, *whole.split("/")[at + 1 :]])
                found = await server.ask(key, route.method, path, BODIES.get(name_of(route)))
                tried += 1
                if found.status not in (400, 404):
                    wrong.append((name_of(route), odd, found.status))
    assert wrong == []
    assert tried > 150


async def test_no_body_brings_what_no_store_holds(server: Asked) -> None:
    """The field is named; what is kept sealed may hold anything."""
    key = await server.key("platform")
    for route, body, field in (
        ("/v1/tenants", {"tenant": "acme", "note": "a\0b"}, "note"),
        ("/v1/users", {"id": "a\0b"}, "id"),
        ("/v1/users", {"id": "ben", "note": "a\0b"}, "note"),
        ("/v1/keys", {"name": "x", "role": "user", "scopes": ["agent:a\0b"]}, "scopes[0]"),
        ("/v1/credentials/sim", {"reference": "env:A\0B"}, "reference"),
        ("/v1/auth/revocations", {"jti": "a\0b", "issuer": "https://x"}, "jti"),
        ("/v1/responses", {"model": "support", "input": "x", "previous_response_id": "resp_a\0b"}, None),
    ):
        found = await server.ask(key, "POST", route, body)
        assert found.status == 400, (route, found)
        assert field is None or found.json["field"] == field, (route, found)
    said = await server.ask(key, "POST", "/v1/agents/support/runs", {"input": "a\0b \\u0000"})
    assert said.status == 200, said
    noted = await server.ask(key, "POST", "/v1/users", {"id": "cy", "note": "\\u0000"})
    assert noted.status == 201, noted
