"""The checks of GW-3 fail when roles, scopes or key-making are really broken, and say what is reached.

docs/check.md names these sabotages in a table, which `test_check.py` compares with the register.
"""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from golive.checklist.twin import Twin
from tests.e2e.check_kit import GOLIVE, PRICES, hold, project, twin_of
from tests.e2e.saboteur import Asked, Saboteur, Told

pytestmark = pytest.mark.asyncio(loop_scope="module")
OWN = '[roles.desk]\nlike = "user"\nagents = ["clerk"]\n[roles.watch]\nverbs = ["metrics.read", "runs.read"]\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def well(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin in which nothing is broken, with two own roles."""
    async with twin_of(project(tmp_path_factory.mktemp("well"), golive=GOLIVE + PRICES + OWN)) as found:
        yield found


async def broken(folder: Path, check: str, *sabotages: str) -> str:
    """Why the check fails on a server in which these are broken."""
    async with twin_of(project(folder), *sabotages) as found:
        report = await hold(check, found)
    assert report.status == "fail", report
    return report.why


@pytest.mark.parametrize("check", ["GW-3.routes", "GW-3.scopes", "GW-3.escalation"])
async def test_a_server_in_order_passes(well: Twin, check: str) -> None:
    """With evidence, and with no keys left that work."""
    report = await hold(check, well)
    assert (report.status, report.why) == ("pass", ""), report
    listed = (await well.send("GET", "/v1/keys")).json()["data"]
    assert not [row for row in listed if row["name"] == "golive check" and row["revoked_at"] is None]


async def test_routes_sees_own_roles_too(well: Twin) -> None:
    """Six built-in roles and the two of the configuration."""
    measured = (await hold("GW-3.routes", well)).measured
    assert "x 8 roles (all)" in measured
    assert measured.endswith(" 0 wrong")


async def test_routes_sees_a_server_that_lets_every_key_do_everything(tmp_path: Path) -> None:
    """With endpoint, role and the verb that is missing."""
    why = await broken(tmp_path / "p", "GW-3.routes", "permits")
    assert "POST /v1/agents/{agent}/runs as viewer: let in" in why
    assert "without runs.create" in why
    assert "more" in why


async def test_routes_sees_one_endpoint_that_somebody_else_answers(well: Twin) -> None:
    """As a proxy would that caches for the wrong people."""

    def open_keys(asked: Asked, told: Told) -> Told:
        return told._replace(status=200) if asked.path == "/metrics" else told

    async with Saboteur(well.url, answer=open_keys) as url:
        report = await hold("GW-3.routes", well, url=url)
    assert report.status == "fail"
    assert report.why.startswith("GET /metrics as viewer: let in (HTTP 200) without metrics.read")


async def test_routes_sees_a_role_that_is_kept_from_what_it_may(well: Twin) -> None:
    """Refusing everybody is no access control either."""

    def shut(asked: Asked, told: Told) -> Told:
        return told._replace(status=403) if asked.path == "/v1/runs" else told

    async with Saboteur(well.url, answer=shut) as url:
        report = await hold("GW-3.routes", well, url=url)
    assert report.status == "fail"
    assert "GET /v1/runs as viewer: refused with 403, though it may runs.read" in report.why


async def test_routes_sees_an_endpoint_without_any_permission(well: Twin) -> None:
    """An endpoint that declares no verb is told before anything is asked of it."""

    def undeclared(asked: Asked, told: Told) -> Told:
        if asked.path != "/openapi.json":
            return told
        return told._replace(body=told.body.replace(b'"x-golive-verbs":["metrics.read"]', b'"x-golive-verbs":[]'))

    async with Saboteur(well.url, answer=undeclared) as url:
        report = await hold("GW-3.routes", well, url=url)
    assert (report.status, report.why) == ("fail", "declared without any permission: GET /metrics")


async def test_scopes_sees_scopes_that_nobody_heeds(tmp_path: Path) -> None:
    """Runs, streams, faces and lists of the other agent are reached."""
    why = await broken(tmp_path / "p", "GW-3.scopes", "unscoped")
    for reached in (
        "GET /v1/runs/RUN with a key of another agent: 200",
        "GET /v1/runs with",
        "with a key of runs.read",
    ):
        assert reached in why


async def test_scopes_sees_lists_that_show_everything(tmp_path: Path) -> None:
    """Only lists are told, for the rest holds."""
    why = await broken(tmp_path / "p", "GW-3.scopes", "whole_lists")
    assert "GET /v1/runs with a key of another agent lists something" in why
    assert "RUN/cancel" not in why


async def test_scopes_sees_runs_of_which_nobody_asks_whose_they_are(tmp_path: Path) -> None:
    """Each way to a run by its id."""
    why = await broken(tmp_path / "p", "GW-3.scopes", "forgotten_run")
    for path in ("RUN with", "RUN/events with", "RUN/retry with", "RUN/fork with"):
        assert path in why
    assert "lists something" not in why


async def test_escalation_sees_keys_that_make_stronger_ones(tmp_path: Path) -> None:
    """New ones, renewed ones, and the end of others'."""
    why = await broken(tmp_path / "p", "GW-3.escalation", "generous")
    for gained in ("made a key of admin", "made a key of platform", "renewed a stronger key", "ended a stronger key"):
        assert gained in why
    assert "acted in another tenant" not in why


async def test_escalation_sees_a_key_that_acts_in_another_tenant(well: Twin) -> None:
    """Where the header is heeded for anybody."""

    def forget(asked: Asked) -> Asked:
        return asked._replace(headers={k: v for k, v in asked.headers.items() if k != "x-golive-tenant"})

    async with Saboteur(well.url, request=forget) as url:
        report = await hold("GW-3.escalation", well, url=url)
    assert (report.status, "acted in another tenant" in report.why) == ("fail", True)
