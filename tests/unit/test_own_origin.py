"""Which requests a page of this server made, with an address of its own or behind a proxy; and where one may lead."""

from typing import Any

import pytest

from golive.gateway.login_page import going_on, login_page, path_here, told
from golive.gateway.own_origin import OwnOrigin

PUBLIC = OwnOrigin("https://agents.example.com")


def headers(**told: str) -> dict[bytes, bytes]:
    return {name.replace("_", "-").encode(): value.encode() for name, value in told.items()}


def scope(scheme: str = "http", client: str = "127.0.0.1") -> dict[str, Any]:
    return {"scheme": scheme, "client": (client, 5)}


@pytest.mark.parametrize("host", ["agents.example.com", "127.0.0.1:8080", "evil.example", ""])
def test_with_a_public_address_the_host_has_no_say(host: str) -> None:
    """Only that origin counts, and it is where issuers lead back to; nothing is local."""
    for origin, wanted in (
        ("https://agents.example.com", True), ("https://agents.example.com:443", True),
        ("http://agents.example.com", False), ("https://agents.example.com:8443", False), (f"https://{host}:1", False),
        ("https://agents.example.com.evil.example", False), ("null", False),
    ):  # fmt: skip
        assert PUBLIC.counts("POST", headers(host=host, origin=origin)) is wanted, origin
    assert PUBLIC.asked(scope(), headers(host=host)) == "https://agents.example.com"
    assert not PUBLIC.local(scope(), headers(host="127.0.0.1:8080"))


@pytest.mark.parametrize(
    ("at", "host", "origin"),
    [
        (scope(), "127.0.0.1:8080", "http://127.0.0.1:8080"), (scope(), "localhost:1", "http://localhost:1"),
        (scope(), "[::1]:80", "http://[::1]:80"), (scope("https", "192.0.2.7"), "a.example", "https://a.example"),
        (scope(client="192.0.2.7"), "127.0.0.1:8080", None), (scope(), "agents.example.com", None),
        (scope("https"), "a.example/x", None), (scope("https"), "a@b.example", None), (scope("https"), "", None),
        (scope("https"), "a.example:99999", None),
    ],
)  # fmt: skip
def test_without_one_browsers_come_back_over_https_or_on_this_machine(at: Any, host: str, origin: str | None) -> None:
    assert OwnOrigin().asked(at, headers(host=host)) == origin


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/runs?limit=5", "/a/b#c", "/.//evil.example", "/a%0d%0ab"])
def test_a_path_here_is_a_path_here(path: str) -> None:
    assert path_here(path) == path


@pytest.mark.parametrize(
    "text",
    ["", "docs", "//evil.example", "/\\evil.example", "\\/evil.example", "https://evil.example", "/a b", "/a\n", "/ü",
     "/login", "/login/start/x", "/logout", "/login?next=/docs", "/" * 3, "/" + "a" * 500],
)  # fmt: skip
def test_and_nothing_else_is(text: str) -> None:
    assert path_here(text) is None


def test_nothing_of_a_page_is_more_than_text() -> None:
    """Names and paths are escaped wherever they stand."""
    page = login_page([("corp", '<b>"Corp"</b>')], "/a?b=1&c=\"'<x>").decode()
    assert "<b>" not in page
    assert "&lt;b&gt;&quot;Corp&quot;&lt;/b&gt;" in page
    assert 'href="/login/start/corp?next=%2Fa%3Fb%3D1%26c%3D%22%27%3Cx%3E"' in page
    assert b'url=/a?b=1&amp;c=&quot;&#x27;&lt;x&gt;"' in going_on("/a?b=1&c=\"'<x>")
    assert b"<script>" not in told("<script>", "<script>")
