"""The payment tool of docs/tools.md, as it stands there, against a payment service that loses answers."""

import json
import re
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from golive.config.schema import AgentConfig
from golive.core.deadline import Deadline
from golive.tools.toolset import CarriedOut, EffectRules, NotCarriedOut, NotKnown, ToolInvocation, ToolOutcome
from golive.workers.pool import WorkerToolset
from tests.contract.toolset_kit import CLOCK, ToolBench

PAGE = Path(__file__).parents[2] / "docs/tools.md"
KEY = "run_1//3"
CALL = ToolInvocation("acme", "run_1", KEY, "pay", '{"invoice": "I-1", "amount_cents": 1900}')


def block(language: str, having: str) -> str:
    """The page's block in this language that has the words."""
    blocks: list[str] = re.findall(rf"(?s)```{language}\n(.*?)```", PAGE.read_text())
    (found,) = [text for text in blocks if having in text]
    return found


class Payments:
    """A service that makes one payment per idempotency key. While `mute`, it does its work and never says so."""

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}
        self.refunds: dict[str, str] = {}
        self.mute = False
        self.down = False

    async def pay(self, request: web.Request) -> web.Response:
        key = request.headers["Idempotency-Key"]
        self.made.setdefault(key, {"id": f"p{len(self.made)}", **await request.json()})
        return self._answer(request, self.made[key])

    async def find(self, request: web.Request) -> web.Response:
        found = self.made.get(request.query["key"])
        return self._answer(request, [found] if found else [])

    async def refund(self, request: web.Request) -> web.Response:
        self.refunds[request.headers["Idempotency-Key"]] = request.match_info["id"]
        return self._answer(request, {"refunded": request.match_info["id"]})

    def _answer(self, request: web.Request, body: Any) -> web.Response:
        if self.down:
            raise web.HTTPServiceUnavailable
        if self.mute and request.transport is not None:
            request.transport.close()
        return web.json_response(body)


@pytest.fixture
async def payments() -> AsyncIterator[tuple[Payments, str]]:
    service = Payments()
    app = web.Application()
    app.router.add_post("/payments", service.pay)
    app.router.add_get("/payments", service.find)
    app.router.add_post("/payments/{id}/refunds", service.refund)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0]
    yield service, f"http://{host}:{port}"
    await runner.cleanup()


async def test_the_documented_payment_tool_pays_once(tmp_path: Path, payments: tuple[Payments, str]) -> None:
    """A payment whose answer was lost is found by its key; called again it is not made again; it is taken back once.
    A service that cannot tell gives no answer, least of all a no."""
    service, url = payments
    config = AgentConfig.model_validate(tomllib.loads(block("toml", "[tools.pay]")))
    bench = ToolBench(WorkerToolset, tmp_path)
    bench.environ = {"PAYMENTS_URL": url}
    toolset = await bench.open(block("python", "async def _pay_back"), config.worker, tools=config.tools)
    deadline = Deadline.after(CLOCK, 60.0, "limits.deadline_s")
    try:
        assert [spec.name for spec in toolset.specs] == ["pay"]
        rules = EffectRules(idempotent=True, status=True, undo=True, on_unknown="ask", timeout_s=10.0)
        assert toolset.effects == {"pay": rules}
        assert await toolset.status(CALL, deadline) == NotCarriedOut()
        service.mute = True
        lost = await toolset.call(CALL, deadline)
        assert (lost.error_code, lost.begun) == ("tool.raised", True)
        service.mute, service.down = False, True
        answer = await toolset.status(CALL, deadline)
        assert isinstance(answer, NotKnown)
        assert answer.error_code == "tool.raised"
        service.down = False
        made = {"id": "p0", "invoice": "I-1", "amount_cents": 1_900}
        found = await toolset.status(CALL, deadline)
        assert isinstance(found, CarriedOut)
        assert json.loads(found.outcome.content) == made
        assert await toolset.call(CALL, deadline) == found.outcome
        assert service.made == {KEY: made}
        undone = await toolset.undo(CALL, found.outcome.content, deadline)
        assert undone == ToolOutcome(True, '{"refunded":"p0"}')
        assert service.refunds == {f"{KEY}/undo": "p0"}
    finally:
        await bench.close()
