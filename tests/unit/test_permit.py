"""What cannot be registered, and what cannot be answered: a permission that was forgotten is an error, no opening."""

from typing import Any

import msgspec
import pytest

from golive.core.clock import SystemClock
from golive.core.errors import Forbidden
from golive.core.health import Dependency
from golive.gateway.exchange import Exchange, UndecidedError
from golive.gateway.health import HealthFaces
from golive.gateway.pages import MOST_LOOKED_AT, page
from golive.gateway.permit import demand, reach, see
from golive.gateway.routes import UNNARROWED, Answer, Route
from golive.telemetry.metrics import Metrics
from golive.tenants.authorize import Principal
from golive.tenants.judged import Judged
from golive.tenants.roles import VERBS, Grant, Verb

SUPPORT = Principal("t1", "key:1", "own", (Grant(frozenset({"runs.read", "runs.create"}), ("support",), models=()),))


async def nothing(_: Exchange) -> None: ...


def asked(principal: Principal = SUPPORT) -> tuple[Exchange, list[Judged], list[Any]]:
    """A request on which the handler has still to decide; what is handed on; what is sent."""
    heard: list[Judged] = []
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any: ...

    scope = {"type": "http", "method": "GET", "path": "/v1/runs", "headers": [], "client": ("192.0.2.7", 1)}
    exchange = Exchange(scope, receive, send, heard.append)
    exchange.principal = principal
    exchange.undecided = True
    return exchange, heard, sent


@pytest.mark.parametrize("verb", VERBS)
def test_a_route_that_decides_nowhere_on_whose_it_is_cannot_be_made(verb: Verb) -> None:
    """Unless its verb knows no agents, or its path names one, or its handler says that it narrows."""
    answers = (Answer(200, ""),)
    if verb in UNNARROWED:
        assert Route("GET", "/v1/x", verb, nothing, "", answers).verbs == (verb,)
    else:
        with pytest.raises(ValueError, match="so it must narrow"):
            Route("GET", "/v1/x", verb, nothing, "", answers)
    for path in ("/v1/agents/{agent}", "/v1/runs/{run}/x", "/v1/models/{model...}"):
        assert Route("GET", path, verb, nothing, "", answers).verbs == (verb,)
    assert Route("GET", "/v1/x", verb, nothing, "", answers, narrows=True).narrows


async def test_a_handler_that_has_not_decided_cannot_answer() -> None:
    """Neither whole nor as a stream; nothing is sent."""
    exchange, _, sent = asked()
    with pytest.raises(UndecidedError):
        await exchange.json({"secret": "of another agent"})
    with pytest.raises(UndecidedError):
        await exchange.begin_stream()
    assert (sent, exchange.status) == ([], 0)
    reach(exchange, "runs.read", "run")
    await exchange.json({})
    assert exchange.status == 200


def test_demand_says_yes_or_raises_and_hands_on_either() -> None:
    """With who, on what, from where."""
    exchange, heard, _ = asked()
    demand(exchange, "runs.create", "agent", "support")
    assert not exchange.undecided
    with pytest.raises(Forbidden):
        demand(exchange, "runs.create", "agent", "shop")
    with pytest.raises(Forbidden):
        demand(exchange, "runs.create", "model", "openai/x")
    assert [(one.outcome, one.kind, one.name, one.agent) for one in heard] == [
        ("allowed", "agent", "support", "support"), ("denied", "agent", "shop", "shop"),
        ("denied", "model", "openai/x", ""),
    ]  # fmt: skip
    assert {(one.actor, one.tenant, one.home, one.source) for one in heard} == {("key:1", "t1", "t1", "192.0.2.7")}


def test_what_may_not_be_seen_is_told_to_the_hook_alone() -> None:
    """The handler answers as if it were not there; whoever audits learns that it was asked for."""
    exchange, heard, _ = asked()
    assert see(exchange, "runs.read", "run", "run_1", "support")
    assert not see(exchange, "runs.read", "run", "run_2", "shop")
    assert [(one.outcome, one.name) for one in heard] == [("allowed", "run_1"), ("denied", "run_2")]


async def test_pages_hold_what_may_be_seen_and_lead_on() -> None:
    """Every row that may be seen comes once, in order, whatever the size of the page."""
    rows = [f"{number:03}" for number in range(300, 0, -1)]

    async def behind(before: str | None, limit: int) -> list[str]:
        return [row for row in rows if before is None or row < before][:limit]

    seen = [row for row in rows if int(row) % 7 == 0]
    for limit in (1, 2, 5, len(seen) - 1, len(seen), len(seen) + 1):
        found: list[str] = []
        before: str | None = None
        for _ in range(len(seen) + 2):
            data, before = await page(behind, str, lambda row: int(row) % 7 == 0, before, limit)
            assert len(data) <= limit
            found += data
            if before is None:
                break
        assert (found, before) == (seen, None), limit


async def test_a_page_for_who_may_see_almost_nothing_is_bounded() -> None:
    """Not all rows of a tenant are read for one page; `next` leads on."""
    reads: list[int] = []

    async def behind(before: str | None, limit: int) -> list[str]:
        reads.append(limit)
        first = 10_000_000 if before is None else int(before)
        return [str(first - step - 1) for step in range(limit)]

    data, after = await page(behind, str, lambda row: False, None, 50)
    assert (data, after is not None) == ([], True)
    assert sum(reads) <= MOST_LOOKED_AT + 500


async def test_health_names_the_workers_of_agents_that_who_asks_may_see() -> None:
    """The state covers all; of another agent not even the name is told."""

    async def dependencies() -> list[Dependency]:
        return [
            Dependency("store", "store", "up"),
            *(Dependency(name, "worker", "down") for name in ("support", "shop")),
        ]

    async def pending(tenant: str, most: int) -> int:
        return 0

    async def ping() -> None: ...

    faces = HealthFaces(
        dependencies=dependencies, ping=ping, draining=lambda: False, open_runs=lambda: 9, decisions_pending=pending,
        metrics=Metrics(lambda: 0), clock=SystemClock(), agents=lambda tenant: ["support", "shop"],
        open_of=lambda tenant: {"t1": 2}[tenant],
    )  # fmt: skip
    for agents, names in ((("support",), ["store", "support"]), (("*",), ["store", "support", "shop"])):
        grant = Grant(frozenset({"health.read", "agents.read"}), agents)
        exchange, _, sent = asked(Principal("t1", "key:1", "own", (grant,)))
        exchange.undecided = False
        await faces.health(exchange)
        told = msgspec.json.decode(sent[1]["body"])
        assert (sent[0]["status"], [each["name"] for each in told["dependencies"]]) == (503, names)
        assert told["open_runs"] == 2
    exchange, _, sent = asked(Principal("default", "key:1", "own", (grant,)))
    exchange.undecided = False
    await faces.health(exchange)
    assert msgspec.json.decode(sent[1]["body"])["open_runs"] == 9
