"""The door of the server: who gets in, what they may, and what bad input is told; over real sockets."""

import asyncio
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from golive.config.schema import GoliveConfig, ServerConfig
from golive.config.transport import HttpLimitsConfig
from golive.core.errors import StoreUnavailable
from golive.core.health import Dependency
from golive.gateway import health
from golive.gateway.health import HealthFaces
from golive.gateway.routes import PUBLIC_PATHS
from tests.e2e.gateway_kit import Server, raw, serving

CONFIG = GoliveConfig(server=ServerConfig(max_body_bytes=2_000))
RUNS = "/v1/agents/support/runs"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path, CONFIG) as running:
        yield running


@pytest.fixture
async def limited(tmp_path: Path) -> AsyncIterator[Server]:
    """With little time for a head."""
    (path := tmp_path / "limited").mkdir()
    config = GoliveConfig(server=ServerConfig(limits=HttpLimitsConfig(header_s=0.1)))
    async with serving(path, config) as running:
        yield running


async def test_every_route_but_two_asks_for_a_key(server: Server) -> None:
    """Without a key each route, known or not, with any method, is 401 and says nothing else; live and ready answer."""
    paths = [(route.method, route.path.replace("{model...}", "a/b").replace("{", "").replace("}", ""))
             for route in server.gateway.router.routes]  # fmt: skip
    paths += [("GET", "/"), ("GET", "/nothing"), ("PUT", "/v1/runs"), ("OPTIONS", "/v1/runs"), ("GET", "/v1/../health")]
    refused: set[bytes] = set()
    async with server.client("") as http:
        for method, path in paths:
            async with http.request(method, path) as response:
                if path in PUBLIC_PATHS:
                    assert response.status == 200
                    continue
                assert response.status == 401, (method, path)
                assert response.headers["www-authenticate"].split()[0] == (
                    "Basic" if path in ("/docs", "/openapi.json") else "Bearer"
                )
                if response.content_type == "application/problem+json":
                    refused.add(await response.read())
    assert len(refused) == 1


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic Z2w6eA==", "bearer gl_00000000_" + "x" * 43, "Bearer gl_é"]
)
async def test_wrong_keys_are_told_one_and_the_same(server: Server, header: str) -> None:
    """Malformed, unknown and mistyped credentials get the same words: nobody learns which part was wrong."""
    answers = []
    for value in (header, "Bearer " + server.admin[:-1] + "!"):
        async with (
            aiohttp.ClientSession(server.url) as http,
            http.get("/v1/runs", headers={"Authorization": value}) as response,
        ):
            answers.append((response.status, await response.read()))
    assert answers[0] == answers[1]
    assert answers[0][0] == 401


async def test_roles_open_only_their_doors(server: Server) -> None:
    """A viewer reads, a user runs, an operator sees metrics, only an admin manages keys; 403 names the missing verb."""
    doors: list[tuple[str, str, Any, set[str]]] = [
        ("GET", "/v1/runs", None, {"viewer", "user", "operator", "admin"}),
        ("POST", RUNS, {"input": "Hi"}, {"user", "admin"}),
        ("GET", "/metrics", None, {"operator", "admin"}),
        ("GET", "/v1/config", None, {"operator", "admin"}),
        ("GET", "/v1/keys", None, {"operator", "admin"}),
        ("POST", "/v1/keys", {"name": "x", "role": "viewer"}, {"admin"}),
    ]
    for role in ("viewer", "user", "operator", "admin"):
        secret = (await server.keys.create("default", role, role, created_by="tests")).secret
        async with server.client(secret) as http:
            for method, path, body, allowed in doors:
                async with http.request(method, path, json=body) as response:
                    assert (response.status < 300) is (role in allowed), (role, method, path)
                    if role not in allowed:
                        assert response.status == 403
                        assert (await response.json())["verb"]


async def test_keys_are_made_shown_once_and_revoked_over_http(server: Server) -> None:
    """A key made over HTTP works at once; lists never show secrets; revoked, it stops at once; a foreign id is 404."""
    async with server.client() as admin:
        async with admin.post("/v1/keys", json={"name": "site", "role": "user", "expires_in_s": 3600}) as response:
            assert response.status == 201
            made = await response.json()
        async with server.client(made["key"]) as user, user.get("/v1/runs") as response:
            assert response.status == 200
        async with admin.get("/v1/keys") as response:
            listed = await response.text()
        assert made["id"] in listed
        assert made["key"][12:] not in listed
        assert '"mac"' not in listed  # an id may well have these letters
        async with admin.delete(f"/v1/keys/{made['id']}") as response:
            assert (await response.json())["revoked_at"] is not None
        async with server.client(made["key"]) as user, user.get("/v1/runs") as response:
            assert response.status == 401
        async with admin.delete("/v1/keys/nosuchid") as response:
            assert response.status == 404
        async with admin.post("/v1/keys", json={"name": "x", "role": "root"}) as response:
            assert (response.status, (await response.json())["field"]) == (400, "role")


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (b'{"input": "Hi", "streem": true}', 400, {"field": "streem", "remedy": "Did you mean 'stream'?"}),
        (b'{"input": 5}', 400, {"field": "input", "found": "5"}),
        (b'{"input": [{"role": "user", "content": 5}]}', 400, {"field": "input[0].content", "found": "5"}),
        (b'{"input": [{"role": "user", "contnt": ""}]}', 400, {"field": "input[0].contnt", "remedy": "Did you mean 'content'?"}),  # noqa: E501
        (b'{"input": "Hi", "stream": true, "background": true}', 400, {"field": "background", "remedy": "Leave stream out, and follow the run with GET /v1/runs/{run}/events."}),  # noqa: E501
        (b'{"input": "Hi", "max_steps": 0}', 400, {"field": "max_steps", "found": "0"}),
        (b"{}", 400, {"field": "input", "remedy": "Add input."}),
        (b'{"input": "Hi"', 400, {"field": "body", "position": 14}),
        (b'{"input": "\xff"}', 400, {"field": "body", "position": 11}),
        (b"", 400, {"field": "body"}),
        (b"[" * 1900, 400, {"field": "body"}),
        (b'{"input": ""}', 400, {"field": "input"}),
        (b'{"input": []}', 400, {"field": "input"}),
        (b'{"input": "' + b"x" * 3000 + b'"}', 413, {"limit": 2000}),
    ],
)  # fmt: skip
async def test_bad_bodies_are_told_where_and_what_instead(
    server: Server, body: bytes, status: int, expected: dict[str, Any]
) -> None:
    """Each kind of bad body is a problem answer that names the field or position and the remedy; no run begins."""
    async with server.client() as http, http.post(RUNS, data=body) as response:
        problem = await response.json(content_type="application/problem+json")
        assert response.status == status
        assert problem["status"] == status
        assert {name: problem.get(name) for name in expected} == expected
        assert problem["detail"]
        assert problem["remedy"]
        assert problem["type"] == f"urn:golive:problem:{problem['code']}"
        async with http.get("/v1/runs") as listed:
            assert (await listed.json())["data"] == []


async def test_a_body_without_a_length_is_stopped_as_soon_as_it_is_too_large(server: Server) -> None:
    """A chunked body past the limit is answered 413 before it has ended; the next request on the server is served."""
    head = (
        f"POST {RUNS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.admin}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    answer = await raw(server.url, head.encode() + chunk * 3)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"server.max_body_bytes" in answer
    async with server.client() as http, http.get("/v1/agents") as response:
        assert response.status == 200


async def test_unknown_paths_and_methods_are_problems_too(server: Server) -> None:
    """With a key, 404 and 405 say what there is instead; HEAD works where GET does."""
    async with server.client() as http:
        async with http.get("/v1/agent") as response:
            assert (response.status, (await response.json())["code"]) == (404, "not_found")
        async with http.put("/v1/keys") as response:
            assert (response.status, response.headers["allow"]) == (405, "GET, POST")
        async with http.head("/v1/runs") as response:
            assert response.status == 200
        for path in ("/v1/runs/run_nope", "/v1/runs/run_nope/events", "/v1/agents/nobody"):
            async with http.get(path) as response:
                assert (response.status, response.content_type) == (404, "application/problem+json")
        async with http.post("/v1/agents/nobody/runs", json={"input": "Hi"}) as response:
            assert "support" in (await response.json())["remedy"]


async def test_garbage_on_the_socket_is_refused(server: Server) -> None:
    """What is not HTTP gets a 400 and does not harm the server."""
    assert (await raw(server.url, b"\x16\x03\x01 nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    async with server.client() as http, http.get("/health/live") as response:
        assert await response.json() == {"status": "live"}


async def test_endless_and_slow_heads_are_not_held(server: Server, limited: Server) -> None:
    """Headers without end are 431 and closed before a key was asked for; a head that never ends is closed in time."""
    endless = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"x-a: " + b"a" * 8_000 + b"\r\n"
    answer = await raw(server.url, endless + (b"x-b: " + b"b" * 8_000 + b"\r\n") * 9)
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.endswith(b"}")
    host, port = limited.url.removeprefix("http://").split(":")
    for said in (b"", b"GET / HTTP/1.1\r\nHost:", b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\nGET /health"):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(said)
        async with asyncio.timeout(30):
            told = await reader.read()
        assert told.count(b"HTTP/1.1 200 OK") == said.count(b"\r\n\r\n")
        writer.close()


async def test_a_fault_of_our_own_is_told_by_reference_only(server: Server) -> None:
    """An unexpected exception is a 500 with a reference; the trace is in the log under it and nowhere else."""

    def broken() -> list[Any]:
        raise RuntimeError("inner secret detail")

    administration = next(
        route for route in server.gateway.router.routes if route.path == "/v1/config"
    ).handler.__self__  # type: ignore[attr-defined]
    administration._config_rows = broken
    async with server.client() as http, http.get("/v1/config") as response:
        problem = await response.json()
        assert response.status == 500
        assert "inner secret detail" not in str(problem)
    lines = [line for line in server.log_lines() if line.get("reference") == problem["reference"]]
    assert "inner secret detail" in lines[0]["exception"]


async def test_health_tells_each_dependency_and_ready_only_the_store(tmp_path: Path) -> None:
    """A provider that is down makes /health 503 with its name, and leaves readiness alone."""
    down = [Dependency("store", "store", "up", 0.2), Dependency("openai", "provider", "down", None, "refused")]
    async with serving(tmp_path, CONFIG, dependencies=down) as server, server.client() as http:
        async with http.get("/health") as response:
            body = await response.json()
            assert (response.status, body["status"]) == (503, "degraded")
            assert body["dependencies"][1] == {
                "name": "openai",
                "kind": "provider",
                "state": "down",
                "detail": "refused",
            }
        async with http.get("/health/ready") as response:
            assert response.status == 200


async def test_a_store_that_cannot_be_written_is_not_ready(server: Server) -> None:
    """When the store refuses writes, /health/ready is 503 with Retry-After; it is asked at most once a second."""
    asked = []

    async def broken() -> None:
        asked.append(1)
        raise StoreUnavailable("disk full")

    face = next(route for route in server.gateway.router.routes if route.path == "/health/ready").handler.__self__  # type: ignore[attr-defined]
    assert isinstance(face, HealthFaces)
    face._ping = broken
    async with server.client("") as http:
        for _ in range(3):
            async with http.get("/health/ready") as response:
                assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert len(asked) == 1


async def test_health_answers_where_the_store_cannot_tell_of_decisions(server: Server) -> None:
    """The number is null then, which is not 0; all else is told as ever."""

    async def broken(tenant: str, most: int) -> int:
        raise StoreUnavailable("disk full")

    async with server.client() as http:
        async with http.get("/health") as response:
            assert (response.status, (await response.json())["decisions_pending"]) == (200, 0)
        face = next(route for route in server.gateway.router.routes if route.path == "/health").handler.__self__  # type: ignore[attr-defined]
        face._decisions_pending = broken
        async with http.get("/health") as response:
            answer = await response.json()
        async with http.get("/metrics") as metrics:
            assert (metrics.status, "\ngolive_decisions_pending " in await metrics.text()) == (200, False)
    assert (response.status, answer["status"], answer["decisions_pending"]) == (200, "up", None)


async def test_a_store_that_hangs_holds_up_no_scrape(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics come without the number, for the others are needed most just then."""

    async def hangs(tenant: str, most: int) -> int:
        await asyncio.Event().wait()
        return 0

    monkeypatch.setattr(health, "COUNTED_WITHIN_S", 0.01)
    async with server.client() as http:
        face = next(route for route in server.gateway.router.routes if route.path == "/metrics").handler.__self__  # type: ignore[attr-defined]
        face._decisions_pending = hangs
        async with http.get("/metrics") as response:
            text = await response.text()
    assert "golive_open_runs 0.0" in text
    assert "\ngolive_decisions_pending " not in text


async def test_metrics_count_requests_by_route_template(server: Server) -> None:
    """Requests are counted under the route's template, never under a path that somebody made up."""
    async with server.client() as http:
        for path in ("/v1/runs/run_1", "/v1/runs/run_2", "/made/up"):
            async with http.get(path):
                pass
        async with http.get("/metrics") as response:
            text = await response.text()
            assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'golive_http_requests_total{method="GET",route="/v1/runs/{run}",status="404",tenant="default"} 2.0' in text
    assert 'golive_http_requests_total{method="any",route="unmatched",status="404",tenant="default"} 1.0' in text
    assert "run_1" not in text


class Links(HTMLParser):
    """What a page would load, link to, and name."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.targets: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.names.add(values.get("id") or "")
        if tag in ("script", "link", "img", "iframe", "object") or "src" in values:
            self.loads.append(tag)
        if (href := values.get("href") or "").startswith("#"):
            self.targets.append(href[1:])


async def test_the_docs_page_stands_alone_and_opens_in_a_browser(server: Server) -> None:
    """/docs opens with the key as Basic password, loads nothing, and every schema it links to is on it."""
    headers = {"Authorization": aiohttp.encode_basic_auth("anything", server.admin)}
    async with aiohttp.ClientSession(server.url, headers=headers) as http:
        async with http.get("/docs") as response:
            page = await response.text()
            assert response.status == 200
            assert "default-src 'none'" in response.headers["content-security-policy"]
        async with http.get("/v1/runs") as response:
            assert response.status == 401
    links = Links()
    links.feed(page)
    assert links.loads == []
    assert set(links.targets) <= links.names
    for route in server.gateway.router.routes:
        assert route.path.replace("...}", "}") in page


async def test_the_openapi_document_covers_every_route(server: Server) -> None:
    """Each route stands in the document with its answers; every reference resolves; only two need no key."""
    async with server.client() as http, http.get("/openapi.json") as response:
        document = await response.json()
    assert document["openapi"] == "3.1.0"
    operations = {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    assert set(operations) == {
        (route.method, route.path.replace("...}", "}")) for route in server.gateway.router.routes
    }
    assert {path for (_, path), operation in operations.items() if operation.get("security") == []} == PUBLIC_PATHS
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)
    references: set[str] = set()

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            references.update(value for key, value in node.items() if key == "$ref")
            [collect(value) for value in node.values()]
        elif isinstance(node, list):
            [collect(value) for value in node]

    collect(document)
    assert {reference.rpartition("/")[2] for reference in references} <= set(document["components"]["schemas"])
    body = operations["POST", "/v1/agents/{agent}/runs"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["$ref"].endswith("/RunBody")
