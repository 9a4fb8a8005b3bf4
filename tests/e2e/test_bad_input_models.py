"""What a model may do that no model should: the run ends in words, its tools are told, and nothing is left open."""

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from golive.config.schema import ProviderConfig
from golive.core.errors import SecretMissing
from golive.sim.script import Script, ToolUse, UsageFigures
from tests.e2e.gateway_kit import Server, serving, sse

RUNS = "/v1/agents/bad/runs"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as running:
        running.put_agent("bad", "sim/sim-bad")
        yield running


async def run(server: Server, body: dict[str, Any] | None = None) -> Any:
    """The result of one run of the agent; no run is open afterwards."""
    async with server.client() as http, http.post(RUNS, json={"input": "Hi", **(body or {})}) as response:
        result = await response.json()
        assert response.status == 200, result
    assert server.runtime.open_runs() == 0
    assert result["state"] == "finished"
    return result


def calls(*uses: tuple[str, Any]) -> Script:
    """A turn that calls tools."""
    return Script(tool_calls=tuple(ToolUse(name=name, arguments=arguments) for name, arguments in uses), fragment=4096)


def told(server: Server) -> list[dict[str, Any]]:
    """The tool results that the model was sent last."""
    return [message for message in server.sent()[-1]["messages"] if message["role"] == "tool"]


IMPOSSIBLE: list[tuple[tuple[str, Any], str]] = [
    (("get_oder", {"order_id": "A"}), "Did you mean get_order?"),
    (("", {"order_id": "A"}), "There is no tool ''."),
    (("../../etc/passwd", {}), "There is no tool"),
    (("x" * 50_000, {}), "There is no tool"),
    (("get_order", '{"order_id": "A'), "not JSON"),
    (("get_order", "[1, 2]"), "object"),
    (("get_order", "null"), "object"),
    (("get_order", {}), "order_id"),
    (("get_order", {"order_id": {"deep": [1]}}), "order_id"),
    (("get_order", {"order_id": "A", "colour": "red"}), "colour"),
    (("get_order", '{"order_id":' + "[" * 50_000), ""),
]


async def test_a_call_that_cannot_be_is_told_to_the_model(server: Server) -> None:
    """An invented tool, broken JSON, wrong arguments: the model is told what is wrong, and the run goes on."""
    for use, words in IMPOSSIBLE:
        server.sim.scripts.install("sim-bad", Script(turns=(calls(use), Script(text="I see."))))
        result = await run(server)
        assert (result["outcome"], result["text"], result["tool_calls"]) == ("completed", "I see.", 1)
        (answer,) = told(server)
        assert words in answer["content"], answer["content"]
        assert len(answer["content"]) < 2_000


async def test_a_hundred_calls_at_once(server: Server) -> None:
    """The first sixteen are carried out, the rest refused, and each has its own answer, in the order of the calls."""
    uses = [("get_order", {"order_id": f"A-{number}"}) for number in range(100)]
    server.sim.scripts.install("sim-bad", Script(turns=(calls(*uses), Script(text="Done."))))
    result = await run(server)
    assert (result["outcome"], result["tool_calls"]) == ("completed", 100)
    asked = server.sent()[-1]["messages"][-101]["tool_calls"]
    answers = told(server)
    assert [answer["tool_call_id"] for answer in answers] == [call["id"] for call in asked]
    assert len({answer["tool_call_id"] for answer in answers}) == 100
    for number, answer in enumerate(answers):
        assert (f'"A-{number}"' if number < 16 else "at most 16 tool calls") in answer["content"]


async def test_a_megabyte_of_arguments(server: Server) -> None:
    """In tens of thousands of fragments, run or relayed: it arrives whole, and the result is refused as too long."""
    order = "A" * 1_000_000
    use = ToolUse(name="get_order", arguments={"order_id": order})
    server.sim.scripts.install("sim-bad", Script(turns=(Script(tool_calls=(use,), fragment=40), Script(text="Done."))))
    result = await run(server)
    assert result["outcome"] == "completed"
    (answer,) = told(server)
    assert "limit is 262,144" in answer["content"]
    body = {
        "model": "sim/sim-bad", "messages": [{"role": "user", "content": "Hi"}],
        "tools": [{"type": "function", "function": {"name": "get_order"}}],
    }  # fmt: skip
    async with server.client() as http, http.post("/v1/chat/completions", json=body) as response:
        (call,) = (await response.json())["choices"][0]["message"]["tool_calls"]
    assert order in call["function"]["arguments"]


async def test_an_answer_without_words_is_none(server: Server) -> None:
    """Nothing, blanks, or thoughts alone: the run failed and says so to the user, on either face."""
    for script in (Script(text=""), Script(text=" \n\t "), Script(text="", reasoning="Let me think about nothing.")):
        server.sim.scripts.install("sim-bad", script)
        result = await run(server)
        assert (result["outcome"], result["reason"]) == ("failed", "model.empty")
        assert "without an answer" in result["message"]
    body = {"model": "bad", "messages": [{"role": "user", "content": "Hi"}]}
    async with server.client() as http, http.post("/v1/chat/completions", json=body) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (502, "model.empty")


async def test_an_empty_answer_after_tools_keeps_what_was_done(server: Server) -> None:
    """The tools' work stands: the run is partial, not failed, and says that the model fell silent."""
    turns = (calls(("get_order", {"order_id": "A"})), Script(text=""))
    server.sim.scripts.install("sim-bad", Script(turns=turns))
    result = await run(server)
    assert (result["outcome"], result["reason"], result["tool_calls"]) == ("partial", "model.empty", 1)


async def test_an_answer_that_breaks_the_dialect(server: Server) -> None:
    """Broken JSON or UTF-8 ends the run with what there was before; what broke is in its journal, not in its text."""
    for malformed, after in product(("json", "utf8"), (0, 3)):
        server.plane.reset_breakers()
        server.script("sim-bad", text="one two three four", malformed=malformed, malformed_after=after)
        result = await run(server)
        assert (result["outcome"], result["reason"]) == ("partial" if after else "failed", "model.malformed")
        assert "one two three four".startswith(result["text"])
        events = await server.runtime.events("default", result["run"], 0, 100)
        assert any(event.kind == "model.failed" and b"model.malformed" in event.body for event in events)


async def test_a_bill_that_cannot_be(server: Server) -> None:
    """More tokens than any ledger holds: the run ends as any other, and our own bound stands for its cost."""
    figures = UsageFigures(prompt_tokens=2**63, completion_tokens=2**63)
    server.script("sim-bad", text="Hello", usage=figures)
    result = await run(server)
    assert result["outcome"] == "completed"
    assert 0 < result["usage"]["output_tokens"] < 100


async def test_a_provider_that_dies_in_mid_answer(server: Server) -> None:
    """The run is partial, with what was shown, and its stream ends with its end; a relayed stream with an error."""
    server.script("sim-bad", tokens=30, cut_after=5, cut="reset")
    async with server.client() as http:
        async with http.post(RUNS, json={"input": "Hi", "stream": True}) as response:
            events = await sse(response)
        shown = "".join(data["text"] for _, name, data in events if name == "text.delta")
        assert [name for _, name, _ in events if name == "text.reset"] == []
        assert events[-1][1] == "run.finished"
        assert (events[-1][2]["outcome"], events[-1][2]["reason"]) == ("partial", "model.cut")
        assert events[-1][2]["text"] == shown != ""
        body = {"model": "sim/sim-bad", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
        async with http.post("/v1/chat/completions", json=body) as response:
            text = await response.text()
    assert '"error"' in text.split("\n\n")[-2]
    assert "[DONE]" not in text
    assert '"finish_reason":"stop"' not in text


async def test_a_secret_that_is_not_set(tmp_path: Path) -> None:
    """Found out when the model is called: the user is told to turn to the operator, who reads what to set."""

    def missing(reference: str) -> str:
        raise SecretMissing("the environment variable A_KEY is not set.", remedy="Set A_KEY before golive starts.")

    def locked(base_url: str) -> dict[str, ProviderConfig]:
        return {"locked": ProviderConfig(base_url=base_url, api_key="env:A_KEY")}

    async with serving(tmp_path, providers=locked, secrets=missing) as server:
        server.put_agent("bad", "locked/sim-text")
        result = await run(server)
        events = await server.runtime.events("default", result["run"], 0, 100)
        assert server.sent() == []
    assert (result["outcome"], result["reason"]) == ("failed", "secret.missing")
    assert "not set up" in result["message"]
    assert "A_KEY" not in result["message"]
    (failed,) = [event for event in events if event.kind == "model.failed"]
    assert b"Set A_KEY before golive starts." in failed.body


REFUSALS: list[tuple[Script, str, str, str]] = [
    (Script(status=400), "failed", "model.bad_request", "cannot work with this request"),
    (Script(max_context=1), "failed", "model.context_too_long", "too long"),
    (Script(status=401), "failed", "model.auth", "not set up"),
    (Script(status=404), "failed", "model.not_found", "not set up"),
    (Script(status=429), "failed", "model.rate_limited", "try again"),
    (Script(status=500), "failed", "model.unavailable", "try again"),
    (Script(refuse=True), "failed", "model.unreachable", "try again"),
    (Script(text="No.", finish_reason="content_filter"), "refused", "content_filter", "declined"),
]


async def test_users_are_told_whether_trying_again_helps(server: Server) -> None:
    """Each refusal of a provider ends the run in words that are true for whoever asked."""
    for script, outcome, reason, words in REFUSALS:
        server.sim.scripts.install("sim-bad", script)
        result = await run(server)
        assert (result["outcome"], result["reason"]) == (outcome, reason)
        assert words in result["message"]
