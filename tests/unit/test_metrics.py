"""Metrics and log lines: what the journal says is what Prometheus and the log say."""

import io
import json
import logging
from typing import Any

import pytest

from golive.core.events import (
    AlarmRaised,
    DecisionMade,
    DecisionRequested,
    HistorySummarised,
    ModelFailed,
    ModelFinished,
    RunAccepted,
    RunFinished,
    StepJudged,
    StepRouted,
    TextBlock,
    ToolFinished,
)
from golive.core.messages import Usage
from golive.guards.redact import Redactor
from golive.telemetry import metrics as metrics_module
from golive.telemetry.logs import configure
from golive.telemetry.metrics import Metrics
from golive.telemetry.run_log import RunLog, without_content

BOUNDS = ("0.001", "0.0025", "60.0", "+Inf")


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def of_tenant(metrics: Metrics, name: str, tenant: str = "t", **labels: str) -> float | None:
    return sample(metrics, name, tenant=tenant, **labels)


def test_a_run_is_counted_from_its_events() -> None:
    """Outcome, duration, tokens, cost, tool results and alarms appear under their labels, from event bodies alone."""
    metrics = Metrics()
    usage = Usage(input_tokens=100, cached_input_tokens=40, output_tokens=9, reasoning_tokens=4)
    metrics.observe(
        "t",
        "support",
        "1.0",
        [
            RunAccepted("support", "1.0"),
            ModelFailed(1, 1, "a/x", "model.unavailable", "down"),
            ModelFinished(1, 2, "b/y", "m1", "stop", usage, 250_000, True, first_token_ms=300.0, latency_ms=900.0),
            TextBlock("m1", "answer", "hello", 9),
            ToolFinished(1, 0, "k", "c1", "refund", False, "no", "tool.timeout"),
            AlarmRaised("price.missing", "no price"),
            RunFinished("completed", "done", duration_ms=1500.0, cost_microusd=250_000),
        ],
    )
    run = {"agent": "support", "version": "1.0"}
    assert of_tenant(metrics, "golive_runs_accepted_total", **run) == 1
    assert of_tenant(metrics, "golive_runs_total", **run, outcome="completed") == 1
    assert of_tenant(metrics, "golive_run_seconds_sum", **run) == 1.5
    assert of_tenant(metrics, "golive_run_cost_usd_total", **run) == 0.25
    assert of_tenant(metrics, "golive_model_calls_total", target="a/x", result="model.unavailable") == 1
    assert of_tenant(metrics, "golive_model_calls_total", target="b/y", result="ok") == 1
    assert of_tenant(metrics, "golive_model_tokens_total", target="b/y", kind="cached_input") == 40
    assert of_tenant(metrics, "golive_model_tokens_total", target="b/y", kind="reasoning") == 4
    assert of_tenant(metrics, "golive_model_cost_usd_total", target="b/y") == 0.25
    assert of_tenant(metrics, "golive_model_first_token_seconds_bucket", target="b/y", le="0.4") == 1
    assert of_tenant(metrics, "golive_model_first_token_seconds_bucket", target="b/y", le="0.2") == 0
    assert of_tenant(metrics, "golive_tool_calls_total", agent="support", tool="refund", result="tool.timeout") == 1
    assert of_tenant(metrics, "golive_alarms_total", alarm="price.missing") == 1


def test_what_caches_did_is_told() -> None:
    """Tokens read and written, what they saved and cost, and answers of our own cache, which used no token at all."""
    metrics = Metrics()
    usage = Usage(input_tokens=100, cached_input_tokens=40, output_tokens=9, cache_write_tokens=30)

    def finished(saved: int, *, cached: bool = False) -> ModelFinished:
        cost = 0 if cached else 500
        return ModelFinished(1, 1, "a/x", "m", "stop", usage, cost, True, cached=cached, saved_microusd=saved)

    metrics.observe("t", "a", "1", [finished(250_000), finished(-50_000), finished(500, cached=True)])
    tokens = {kind: of_tenant(metrics, "golive_model_tokens_total", target="a/x", kind=kind) for kind in (
        "input", "cached_input", "cache_write", "output")}  # fmt: skip
    assert tokens == {"input": 200, "cached_input": 80, "cache_write": 60, "output": 18}
    assert of_tenant(metrics, "golive_model_saved_usd_total", target="a/x") == 0.2505
    assert of_tenant(metrics, "golive_model_cache_surcharge_usd_total", target="a/x") == 0.05
    assert of_tenant(metrics, "golive_model_calls_total", target="a/x", result="ok") == 2
    assert of_tenant(metrics, "golive_model_calls_total", target="a/x", result="cached") == 1
    assert of_tenant(metrics, "golive_model_call_seconds_count", target="a/x") == 2


def test_what_a_cheap_tier_did_besides_answering_is_told() -> None:
    """Where turns went, what was shown and what was condensed, by reason; each call's tokens, cost and saving."""
    metrics = Metrics()
    usage = Usage(input_tokens=100, output_tokens=9)
    took: dict[str, Any] = {"target": "a/x", "usage": usage, "cost_microusd": 250_000, "saved_microusd": 500_000}
    bodies = [
        StepRouted(1, "direct", "cheap", "supervisor", **took),
        StepJudged(1, True, "judge", **took),
        StepJudged(1, False, "long"),
        HistorySummarised(1, "They met.", "run_1", 3, 900, **took),
        HistorySummarised(1, "", "run_1", 3, 900, "cut", **took | {"cached": True}),
    ]
    metrics.observe("t", "a", "1", bodies)
    assert of_tenant(metrics, "golive_routed_turns_total", agent="a", route="direct", reason="supervisor") == 1
    assert of_tenant(metrics, "golive_judged_answers_total", agent="a", accepted="yes", reason="judge") == 1
    assert of_tenant(metrics, "golive_judged_answers_total", agent="a", accepted="no", reason="long") == 1
    assert of_tenant(metrics, "golive_history_summaries_total", agent="a", result="ok") == 1
    assert of_tenant(metrics, "golive_history_summaries_total", agent="a", result="cut") == 1
    assert of_tenant(metrics, "golive_model_calls_total", target="a/x", result="ok") == 3
    assert of_tenant(metrics, "golive_model_calls_total", target="a/x", result="cached") == 1
    assert of_tenant(metrics, "golive_model_tokens_total", target="a/x", kind="input") == 300
    assert of_tenant(metrics, "golive_model_cost_usd_total", target="a/x") == 0.75
    assert of_tenant(metrics, "golive_model_saved_usd_total", target="a/x") == 2.0


ASKED = DecisionRequested(
    id="dec_1", about="unknown_effect", choices=("done", "again", "skip"), default="skip", asked_at=1.0, expires_at=2.0,
    question="Was it?", subject="pay", key="run_1//1",
)  # fmt: skip


def test_takeovers_and_decisions_are_counted() -> None:
    """Those asked by kind; those made by choice and by whom. No takeover is a 0, so that the first is seen to rise."""
    metrics = Metrics()
    assert sample(metrics, "golive_runs_taken_over_total") == 0
    metrics.durable.taken_over(3)
    made = (("done", "key_1"), ("skip", ""), ("void", ""))
    metrics.observe(
        "t", "a", "1", [ASKED, *(DecisionMade(id="dec_1", choice=choice, at=3.0, by=by) for choice, by in made)]
    )
    assert sample(metrics, "golive_runs_taken_over_total") == 3
    assert of_tenant(metrics, "golive_decisions_asked_total", agent="a", about="unknown_effect") == 1
    assert of_tenant(metrics, "golive_decisions_made_total", agent="a", choice="done", by="person") == 1
    assert of_tenant(metrics, "golive_decisions_made_total", agent="a", choice="skip", by="time") == 1
    assert of_tenant(metrics, "golive_decisions_made_total", agent="a", choice="void", by="void") == 1


def test_the_log_says_how_a_decision_is_made_and_no_content() -> None:
    """A warning with the command to run; then who chose what, without their note and what the model is told."""
    out = io.StringIO()
    log = RunLog(configure("info", "json", Redactor().value, out))
    made = DecisionMade(id="dec_1", choice="done", at=3.0, by="key_1", note="a name", content="a receipt")
    log.observe("t", "run_1", "sha256:1", [ASKED, made], relayed=False)
    asked, decided = (json.loads(line) for line in out.getvalue().splitlines())
    assert (asked["level"], asked["event"], asked["subject"], asked["key"]) == (
        "warning", "decision.requested", "pay", "run_1//1",
    )  # fmt: skip
    assert asked["remedy"] == "golive runs decide run_1 dec_1 done|again|skip"
    assert (decided["event"], decided["choice"], decided["by"]) == ("decision.made", "done", "key_1")
    assert "a name" not in out.getvalue()
    assert "receipt" not in out.getvalue()


def test_the_words_of_a_provider_are_in_the_log_where_content_may_be() -> None:
    """They may quote a user; golive's own words stand there either way."""
    refused = ModelFailed(1, 1, "sim/a", "model.bad_request", "answered 400.", status=400, vendor_message="not: a name")
    away = ModelFailed(1, 2, "sim/a", "model.unreachable", "connection refused")
    lines = {}
    for content in (False, True):
        out = io.StringIO()
        RunLog(configure("info", "json", None, out), content=content).observe(
            "t", "run_1", "sha256:1", [refused, away], relayed=False
        )
        lines[content] = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line.get("vendor_message") for line in lines[False]] == [None, None]
    assert [(line["code"], line["status"], line["message"]) for line in lines[False]] == [
        ("model.bad_request", 400, None), ("model.unreachable", None, "connection refused"),
    ]  # fmt: skip
    assert [line["vendor_message"] for line in lines[True]] == ["not: a name", None]


def test_what_tools_say_is_in_the_log_where_content_may_be() -> None:
    """Of a line its length stays, of what was raised type and place."""
    assert without_content("worker.printed", {"pid": 7, "stream": "stdout", "line": "a name"}) == {
        "pid": 7, "stream": "stdout", "chars": 6,
    }  # fmt: skip
    raised = {"run": "run_1", "error": "ValueError", "at": "tools.py:3 in pay"}
    assert without_content("tool.raised", {**raised, "traceback": "ValueError: a name"}) == raised
    assert without_content("lifespan.failed", {"traceback": "x"}) == {"traceback": "x"}


def test_labels_from_outside_cannot_grow_without_end() -> None:
    """Past the tenant's part of the maximum of series, further label sets are counted together under `other`."""
    metrics = Metrics()
    for number in range(metrics_module.MAX_SERIES + 5):
        metrics.observe("t", "a", "1", [AlarmRaised(f"alarm-{number}", "")])
    most = metrics_module.MAX_SERIES // 4
    assert of_tenant(metrics, "golive_alarms_total", alarm="other") == 3 * most + 5
    metrics.observe("u", "a", "1", [AlarmRaised("alarm-0", "")])
    assert of_tenant(metrics, "golive_alarms_total", "u", alarm="alarm-0") == 1, "one tenant takes no other's room"
    assert of_tenant(metrics, "golive_alarms_total", alarm="alarm-0") == 1


def test_too_many_tenants_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first ones keep their series; what the others did is counted as `other`, and as nobody's of them."""
    monkeypatch.setattr(metrics_module, "MAX_TENANTS", 2)
    metrics = Metrics()
    for tenant in ("a", "b", "c", "d", "a"):
        metrics.observe(tenant, "x", "1", [RunFinished("completed", "done", cost_microusd=1_000_000)])
    told = [of_tenant(metrics, "golive_run_cost_usd_total", name, agent="x", version="1") for name in "abcd"]
    assert told == [2, 1, None, None]
    assert of_tenant(metrics, "golive_run_cost_usd_total", "other", agent="x", version="1") == 2


def test_names_that_clients_invent_take_no_series_from_configured_targets() -> None:
    """A name that is no model is counted under `other`, with its code; a configured target has its series always."""
    metrics = Metrics()
    metrics.follow_targets(lambda target: target in ("a/x", "a/gone"))

    def fail(target: str, code: str) -> None:
        metrics.observe("t", "", "", [ModelFailed(1, 1, target, code, "", latency_ms=1.0)])

    fail("a/nup", "model.not_found")
    fail("a/nap", "model.not_found")
    fail("a/gone", "model.not_found")
    assert of_tenant(metrics, "golive_model_calls_total", target="other", result="model.not_found") == 2
    assert of_tenant(metrics, "golive_model_calls_total", target="a/nup", result="model.not_found") is None
    assert of_tenant(metrics, "golive_model_calls_total", target="a/gone", result="model.not_found") == 1
    for number in range(metrics_module.MAX_SERIES):
        fail(f"a/nup-{number}", "model.unreachable")
        metrics.breaker(f"a/nup-{number}", "open")
    fail("a/x", "model.unreachable")
    fail("a/late", "model.unreachable")
    metrics.breaker("a/x", "open")
    metrics.observe("t", "", "", [ModelFinished(1, 1, "a/x", "", "stop", Usage(1, 2), 5, True, first_token_ms=9.0)])
    assert of_tenant(metrics, "golive_model_calls_total", target="a/x", result="model.unreachable") == 1
    assert of_tenant(metrics, "golive_model_calls_total", target="a/x", result="ok") == 1
    assert of_tenant(metrics, "golive_model_calls_total", target="a/late", result="model.unreachable") is None
    assert (
        of_tenant(metrics, "golive_model_calls_total", target="other", result="other")
        == 3 * (metrics_module.MAX_SERIES // 4) + 3
    )
    assert sample(metrics, "golive_breaker_changes_total", target="a/x", state="open") == 1


def test_a_configured_target_has_a_histogram_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where others have taken all the room."""
    monkeypatch.setattr(metrics_module, "MAX_SERIES", 1)
    metrics = Metrics()
    metrics.follow_targets(lambda target: target == "a/x")
    for target in ("a/first", "a/second", "a/x"):
        metrics.observe("t", "", "", [ModelFinished(1, 1, target, "", "stop", Usage(), 0, True, first_token_ms=9.0)])
    told = [
        of_tenant(metrics, "golive_model_first_token_seconds_count", target=target)
        for target in ("a/first", "a/second", "a/x", "other")
    ]
    assert told == [1, None, 1, 1]


def test_a_bucket_counts_what_is_at_its_bound_and_below() -> None:
    """Buckets are cumulative and hold their upper bound; what is above all of them counts in `+Inf` and the sum."""
    metrics = Metrics()
    for seconds in (0.001, 0.0011, 0.0025, 90.0):
        metrics.http("GET", "/health", "200", seconds)
    told = [sample(metrics, "golive_http_request_seconds_bucket", route="/health", le=le) for le in BOUNDS]
    assert told == [1, 3, 3, 4]
    assert sample(metrics, "golive_http_request_seconds_count", route="/health") == 4
    assert sample(metrics, "golive_http_request_seconds_sum", route="/health") == 0.001 + 0.0011 + 0.0025 + 90.0


def test_a_histogram_cannot_grow_without_end() -> None:
    """Past the maximum of series, values of further label sets are observed together under `other`."""
    metrics = Metrics()
    for number in range(metrics_module.MAX_SERIES + 3):
        metrics.http("GET", f"/{number}", "200", 0.002, f"t{number % 5}")
    assert sample(metrics, "golive_http_request_seconds_count", route="other") == 3
    assert sample(metrics, "golive_http_request_seconds_sum", route="other") == 0.006
    others = [
        of_tenant(metrics, "golive_http_requests_total", f"t{n}", method="other", route="other", status="other")
        for n in range(5)
    ]
    assert others == [1, 1, 1, None, None], "counted together, and still under whose they are"


def test_open_runs_are_read_when_metrics_are() -> None:
    """The gauge shows the number at the time of the scrape; requests count by route template and status."""
    open_runs = [3]
    metrics = Metrics(lambda: open_runs[0])
    metrics.http("GET", "/v1/runs/{run}", "404", 0.002)
    assert b"golive_open_runs 3.0" in metrics.render()
    open_runs[0] = 4
    text = metrics.render()
    assert b"golive_open_runs 4.0" in text
    assert b'golive_http_requests_total{method="GET",route="/v1/runs/{run}",status="404",tenant=""} 1.0' in text


def test_pending_decisions_are_shown_as_they_were_told_last() -> None:
    """None while the store cannot tell: an old number would be taken for a true one."""
    metrics = Metrics()
    assert sample(metrics, "golive_decisions_pending") is None
    metrics.durable.pending(3)
    assert sample(metrics, "golive_decisions_pending") == 3
    metrics.durable.pending(0)
    assert sample(metrics, "golive_decisions_pending") == 0
    metrics.durable.pending(None)
    assert sample(metrics, "golive_decisions_pending") is None


def test_log_lines_are_json_events_without_credentials() -> None:
    """A line is one JSON object, event first, fields kept, level filtered, and redacted to the trace's last line."""
    out = io.StringIO()
    log = configure("info", "json", Redactor(["known-secret-value"]).value, out)
    log.debug("run.started", run="r0")
    try:
        raise ValueError("refused known-secret-value")
    except ValueError:
        log.bind(tenant="default").error("run.failed", run="r1", api_key="x", exc_info=True)
    lines = out.getvalue().splitlines()
    assert len(lines) == 1
    line = json.loads(lines[0])
    assert list(line)[:3] == ["at", "level", "event"]
    assert (line["level"], line["event"], line["tenant"], line["run"]) == ("error", "run.failed", "default", "r1")
    assert line["api_key"] == "[redacted]"
    assert line["exception"].endswith("ValueError: refused [redacted]")


def test_libraries_log_through_the_same_door() -> None:
    """A warning of another library becomes an event of ours; its chatter below does not."""
    out = io.StringIO()
    configure("info", "json", None, out)
    logging.getLogger("some.library").info("chatter")
    logging.getLogger("some.library").warning("odd %s", "thing")
    line = json.loads(out.getvalue())
    assert (line["event"], line["library"], line["message"]) == ("library.logged", "some.library", "odd thing")


def test_console_lines_are_for_people() -> None:
    """On a terminal's style the event and its fields are readable text, not JSON."""
    out = io.StringIO()
    configure("info", "console", None, out).info("server.started", url="http://127.0.0.1:1")
    assert "server.started" in out.getvalue()
    assert "url=http://127.0.0.1:1" in out.getvalue()
