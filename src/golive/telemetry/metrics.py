"""Prometheus metrics, told by the journal's events and by the HTTP side.

Owns names, labels and buckets; how series are kept is `series.py`'s. One observer is called after each append with the
bodies that became durable. Texts from outside (a model's name in a request) become labels, hence the maximum of series
per family; configured targets have theirs beyond it, and a name that no provider knows gets none.
"""

from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from golive.core.errors import ModelIncapable, ModelNotFound
from golive.core.events import (
    AlarmRaised,
    Aside,
    Body,
    DecisionMade,
    DecisionRequested,
    HistorySummarised,
    ModelFailed,
    ModelFinished,
    RunAccepted,
    RunFinished,
    StepJudged,
    StepRouted,
    ToolFinished,
)
from golive.core.messages import Usage
from golive.telemetry.durable import DurableMetrics
from golive.telemetry.outward import OutwardMetrics
from golive.telemetry.series import TENANT, Counters, Gauge, Histograms, Labels

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
MAX_SERIES = 2_000
"""Most label sets of one family; what comes later is counted under `other`, unless it is of a configured target."""
MAX_TENANTS = 200
"""Most tenants that have series of their own, in the order in which they come; the rest are counted together as
`other`. Each brings as many series as it uses agents, targets and tools, so this bounds what a scrape holds."""
OTHER = "other"
_NO_MODEL = frozenset({ModelNotFound.code, ModelIncapable.code})
"""Codes that say that a name is no model, or none that could be asked: clients invent such names without end."""

_RUN_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600)
_FIRST_TOKEN_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 5, 10, 20)
_HTTP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """All metrics of one server, on a registry of their own."""

    def __init__(self, open_runs: Callable[[], int] = lambda: 0) -> None:
        self.registry = CollectorRegistry()
        self._configured: Callable[[str], bool] = lambda target: False
        self._tenants: dict[str, str] = {}
        run = (TENANT, "agent", "version")
        self._accepted = self._counters("golive_runs_accepted", "Runs accepted", run)
        self._runs = self._counters("golive_runs", "Runs finished, by outcome", (*run, "outcome"))
        self._run_seconds = self._histograms("golive_run_seconds", "From acceptance to the end", run, _RUN_SECONDS)
        self._run_cost = self._counters("golive_run_cost_usd", "Cost of finished runs in US dollars", run)
        self._calls = self._counters(
            "golive_model_calls", "Attempts at a target, by result code", (TENANT, "target", "result")
        )
        self._tokens = self._counters("golive_model_tokens", "Tokens, by kind", (TENANT, "target", "kind"))
        self._cost = self._counters("golive_model_cost_usd", "Cost of model calls in US dollars", (TENANT, "target"))
        self._saved = self._counters(
            "golive_model_saved_usd", "What caches took off the cost of calls, in US dollars", (TENANT, "target")
        )
        self._surcharge = self._counters(
            "golive_model_cache_surcharge_usd",
            "What calls cost more that wrote to a provider's cache",
            (TENANT, "target"),
        )
        self._first_token = self._histograms(
            "golive_model_first_token_seconds",
            "From the request to the first token",
            (TENANT, "target"),
            _FIRST_TOKEN_SECONDS,
        )
        self._call_seconds = self._histograms(
            "golive_model_call_seconds", "Whole model calls", (TENANT, "target"), _RUN_SECONDS
        )
        self._tools = self._counters(
            "golive_tool_calls", "Tool calls, by result code", (TENANT, "agent", "tool", "result")
        )
        self._routed = self._counters(
            "golive_routed_turns",
            "Turns sent to a tier by the supervisor, or past it",
            (TENANT, "agent", "route", "reason"),
        )
        self._judged = self._counters(
            "golive_judged_answers",
            "Answers of the cheap tier that were judged",
            (TENANT, "agent", "accepted", "reason"),
        )
        self._summaries = self._counters(
            "golive_history_summaries", "Histories condensed for the strong tier, or not", (TENANT, "agent", "result")
        )
        self._alarms = self._counters("golive_alarms", "Alarms raised", (TENANT, "alarm"))
        self._http = self._counters("golive_http_requests", "Requests answered", (TENANT, "method", "route", "status"))
        self._http_seconds = self._histograms(
            "golive_http_request_seconds", "Whole requests, streams included", ("route",), _HTTP_SECONDS
        )
        self._breaker_moves = self._counters(
            "golive_breaker_changes", "Changes of circuit breakers, by the state entered", ("target", "state")
        )
        self.outward = OutwardMetrics(self.registry, self.label)
        self.durable = DurableMetrics(self.registry)
        self._open = Gauge("golive_open_runs", "Runs not finished", open_runs)
        self.registry.register(self._open)
        self._breakers = Gauge("golive_breakers_not_closed", "Circuit breakers that are open or half-open", lambda: 0)
        self.registry.register(self._breakers)
        self._tellers = self._by_kind()

    def _by_kind(self) -> dict[type[Body], Callable[[Any, str, str, str], None]]:
        return {
            RunAccepted: self._run_accepted,
            RunFinished: self._run_finished,
            ModelFailed: self._model_failed,
            ModelFinished: self._model_finished,
            StepRouted: self._step_routed,
            StepJudged: self._step_judged,
            HistorySummarised: self._history_summarised,
            ToolFinished: self._tool_finished,
            AlarmRaised: self._alarm_raised,
            DecisionRequested: lambda body, tenant, agent, _: self.durable.asked(body, tenant, agent),
            DecisionMade: lambda body, tenant, agent, _: self.durable.made(body, tenant, agent),
        }

    def _counters(self, name: str, text: str, labels: Labels) -> Counters:
        counters = Counters(name, text, labels, MAX_SERIES, self._always if "target" in labels[:2] else None)
        self.registry.register(counters)
        return counters

    def _histograms(self, name: str, text: str, labels: Labels, buckets: Sequence[float]) -> Histograms:
        always = self._always if "target" in labels[:2] else None
        histograms = Histograms(name, text, labels, buckets, MAX_SERIES, always)
        self.registry.register(histograms)
        return histograms

    def _always(self, target: str) -> bool:
        return self._configured(target)

    def follow_targets(self, configured: Callable[[str], bool]) -> None:
        """Sets what says whether the configuration names a target; asked when a series would be new."""
        self._configured = configured

    def follow_open_runs(self, open_runs: Callable[[], int]) -> None:
        """Sets where the number of open runs is read whenever metrics are."""
        self._open.read = open_runs

    def follow_breakers(self, not_closed: Callable[[], int]) -> None:
        """Sets where the number of breakers that are not closed is read whenever metrics are."""
        self._breakers.read = not_closed

    def breaker(self, target: str, state: str) -> None:
        """A target's circuit breaker entered `state`."""
        self._breaker_moves.add(1, (target, state))

    def observe(self, tenant: str, agent: str, version_name: str, bodies: Sequence[Body]) -> None:
        """Takes in what has just become durable in one run."""
        tenant = self.label(tenant)
        for body in bodies:
            tell = self._tellers.get(type(body))
            if tell is not None:
                tell(body, tenant, agent, version_name)

    def _run_accepted(self, _: RunAccepted, tenant: str, agent: str, version_name: str) -> None:
        self._accepted.add(1, (tenant, agent, version_name))

    def _run_finished(self, body: RunFinished, tenant: str, agent: str, version_name: str) -> None:
        self._runs.add(1, (tenant, agent, version_name, body.outcome))
        self._run_seconds.observe(body.duration_ms / 1e3, (tenant, agent, version_name))
        if body.cost_microusd:
            self._run_cost.add(body.cost_microusd / 1e6, (tenant, agent, version_name))

    def _model_failed(self, body: ModelFailed, tenant: str, _agent: str, _version_name: str) -> None:
        invented = body.code in _NO_MODEL and not self._configured(body.target)
        target = OTHER if invented else body.target
        self._calls.add(1, (tenant, target, body.code))
        self._spent(tenant, target, body.usage, body.cost_microusd)

    def _model_finished(self, body: ModelFinished, tenant: str, _agent: str, _version_name: str) -> None:
        target = body.target
        self._gained(tenant, target, body.saved_microusd)
        if body.cached:  # no provider was asked, and no token used
            self._calls.add(1, (tenant, target, "cached"))
            return
        self._calls.add(1, (tenant, target, "ok"))
        self._call_seconds.observe(body.latency_ms / 1e3, (tenant, target))
        if body.first_token_ms is not None:
            self._first_token.observe(body.first_token_ms / 1e3, (tenant, target))
        self._spent(tenant, target, body.usage, body.cost_microusd)

    def _step_routed(self, body: StepRouted, tenant: str, agent: str, _version_name: str) -> None:
        self._routed.add(1, (tenant, agent, body.route, body.reason))
        self._aside(tenant, body)

    def _step_judged(self, body: StepJudged, tenant: str, agent: str, _version_name: str) -> None:
        self._judged.add(1, (tenant, agent, "yes" if body.accepted else "no", body.reason))
        self._aside(tenant, body)

    def _history_summarised(self, body: HistorySummarised, tenant: str, agent: str, _version_name: str) -> None:
        self._summaries.add(1, (tenant, agent, body.reason or "ok"))
        self._aside(tenant, body)

    def _aside(self, tenant: str, body: Aside) -> None:
        if body.target:
            self._gained(tenant, body.target, body.saved_microusd)
            self._calls.add(1, (tenant, body.target, "cached" if body.cached else "ok"))
            if not body.cached:
                self._spent(tenant, body.target, body.usage, body.cost_microusd)

    def _gained(self, tenant: str, target: str, saved_microusd: int) -> None:
        if saved_microusd:
            gain = self._saved if saved_microusd > 0 else self._surcharge
            gain.add(abs(saved_microusd) / 1e6, (tenant, target))

    def _spent(self, tenant: str, target: str, usage: Usage, cost_microusd: int) -> None:
        if usage.input_tokens:
            self._tokens.add(usage.input_tokens, (tenant, target, "input"))
        if usage.output_tokens:
            self._tokens.add(usage.output_tokens, (tenant, target, "output"))
        if usage.cached_input_tokens:
            self._tokens.add(usage.cached_input_tokens, (tenant, target, "cached_input"))
        if usage.cache_write_tokens:
            self._tokens.add(usage.cache_write_tokens, (tenant, target, "cache_write"))
        if usage.reasoning_tokens:
            self._tokens.add(usage.reasoning_tokens, (tenant, target, "reasoning"))
        if cost_microusd:
            self._cost.add(cost_microusd / 1e6, (tenant, target))

    def _tool_finished(self, body: ToolFinished, tenant: str, agent: str, _version_name: str) -> None:
        result = "ok" if body.ok else body.error_code or "tool.failed"
        self._tools.add(1, (tenant, agent, body.name, result))

    def _alarm_raised(self, body: AlarmRaised, tenant: str, _agent: str, _version_name: str) -> None:
        self._alarms.add(1, (tenant, body.alarm))

    def label(self, tenant: str) -> str:
        """What stands for the tenant in the label `tenant`: its name, or `other` where too many have theirs already."""
        found = self._tenants.get(tenant)
        if found is None:
            if len(self._tenants) >= MAX_TENANTS:
                return OTHER
            found = self._tenants[tenant] = tenant
        return found

    def http(self, method: str, route: str, status: str, seconds: float, tenant: str = "") -> None:
        """A request was answered (a stream: ended).

        Args:
            route: the template, never the path itself.
            tenant: whose it was; "" where nobody was known by then.
        """
        self._http.add(1, (self.label(tenant), method, route, status))
        self._http_seconds.observe(seconds, (route,))

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
