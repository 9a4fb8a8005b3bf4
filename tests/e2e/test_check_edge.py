"""The checks of what is on the wire pass where it is as it should be, and fail where it is really broken."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from golive.checklist.twin import Twin
from tests.e2e.check_kit import GOLIVE, PRICES, hold, project, twin_of
from tests.e2e.saboteur import Asked, Saboteur, Told

pytestmark = pytest.mark.asyncio(loop_scope="module")
QUICK = GOLIVE.replace("[server]", "[server]\nlimits.header_s = 10") + PRICES


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    async with twin_of(project(tmp_path_factory.mktemp("well"), golive=QUICK)) as found:
        yield found


@pytest.mark.parametrize("check", ["GW-11.tls", "GW-11.headers", "GW-11.slow"])
async def test_a_server_that_is_well_passes(well: Twin, check: str) -> None:
    found = await hold(check, well)
    assert (found.status, found.why if found.status != "pass" else "") == ("pass", "")
    if check == "GW-11.tls":
        assert "TLS 1.2: refused, TLS 1.3: TLSv1.3 with TLS_" in found.measured
        assert " and 0 of " in found.measured
    if check == "GW-11.slow":
        assert "200 of 200 closed" in found.measured


async def test_tls_passes_where_1_2_is_asked_for(tmp_path: Path) -> None:
    """With min_version 1.2 that is spoken, and still no weak cipher."""
    golive = QUICK.replace("[server]", '[server]\ntls.min_version = "1.2"')
    async with twin_of(project(tmp_path, golive=golive)) as older:
        found = await hold("GW-11.tls", older)
    assert (found.status, found.why[:5]) == ("pass", "where")
    assert "TLS 1.1: refused, TLS 1.2: spoken" in found.measured


async def test_tls_sees_old_versions_and_weak_ciphers(tmp_path: Path) -> None:
    async with twin_of(project(tmp_path), "old_tls") as broken:
        found = await hold("GW-11.tls", broken)
    assert found.status == "fail"
    assert "TLS 1.2 is spoken" in found.why
    assert "a weak cipher is agreed to (CBC" in found.why


async def test_tls_sees_a_certificate_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("golive.checklist.checks.transport.RELOAD_S", 1.5)
    async with twin_of(project(tmp_path), "old_certificate") as broken:
        found = await hold("GW-11.tls", broken)
    assert found.status == "fail"
    assert "the old certificate was still shown" in found.why


async def test_tls_sees_a_damaged_file_that_closes_the_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("golive.checklist.checks.transport.RELOAD_S", 3.0)
    async with twin_of(project(tmp_path), "blind_certificate") as broken:
        found = await hold("GW-11.tls", broken)
    assert found.status == "fail"
    assert "after a damaged file nobody could connect any more" in found.why


def without(name: str, value: str | None = None) -> Callable[[Asked, Told], Told]:
    """A proxy that takes a header away, or puts another value in its place."""

    def answer(_: Asked, told: Told) -> Told:
        headers = {key: other for key, other in told.headers.items() if key != name} | {"server": "proxy"}
        return told._replace(headers=headers | ({} if value is None else {name: value}))

    return answer


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("x-content-type-options", None, "x-content-type-options is 'missing', not 'nosniff'"),
        ("cache-control", "public, max-age=60", "cache-control is 'public, max-age=60', not 'no-store'"),
        ("content-security-policy", None, "Content-Security-Policy is missing"),
        (
            "content-security-policy",
            "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
            "begins with everything",
        ),
        (
            "content-security-policy",
            "default-src 'self'; script-src 'unsafe-inline'; frame-ancestors 'none'",
            "is inline",
        ),
        ("server", "uvicorn/0.54.0", "Server tells a version"),
        ("access-control-allow-origin", "*", "a website of another origin may ask"),
    ],
)
async def test_headers_sees_each_that_is_wrong(well: Twin, name: str, value: str | None, why: str) -> None:
    """A proxy takes one header away, or says another thing in its place."""
    async with Saboteur(well.url, answer=without(name, value)) as url:
        found = await hold("GW-11.headers", well, url=url)
    assert found.status == "fail"
    assert why in found.why


async def test_headers_sees_a_reflected_origin(well: Twin) -> None:
    def reflect(asked: Asked, told: Told) -> Told:
        origin = asked.headers.get("origin")
        headers = told.headers | {"server": "proxy"}
        return told._replace(headers=headers | ({"access-control-allow-origin": origin} if origin else {}))

    async with Saboteur(well.url, answer=reflect) as url:
        found = await hold("GW-11.headers", well, url=url)
    assert found.status == "fail"
    assert "Access-Control-Allow-Origin: null" in found.why


async def test_slow_sees_heads_that_may_take_for_ever(tmp_path: Path) -> None:
    async with twin_of(project(tmp_path, golive=QUICK), "endless_heads") as broken:
        found = await hold("GW-11.slow", broken)
    assert found.status == "fail"
    assert "200 of 200 slow connections were still open" in found.why
