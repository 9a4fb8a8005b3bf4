"""Metrics of what keeps runs alive: servers that go on with others' runs, and decisions that people are asked for."""

from prometheus_client import CollectorRegistry

from golive.core.events import DecisionMade, DecisionRequested
from golive.telemetry.series import TENANT, Counters, Gauge

MAX_SERIES = 2_000
VOID = "void"


class DurableMetrics:
    """Registers themselves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._taken_over = Counters(
            "golive_runs_taken_over", "Runs that this server goes on with because another one left them", (), MAX_SERIES
        )
        self._lost = Counters(
            "golive_runs_lost", "Runs of this server that another one has taken over, or ended", (), MAX_SERIES
        )
        self._outages = Counters("golive_store_outages", "Times that the store could not be reached", (), MAX_SERIES)
        self._asked = Counters(
            "golive_decisions_asked",
            "Decisions that runs wait for a person to make",
            (TENANT, "agent", "about"),
            MAX_SERIES,
        )
        self._made = Counters(
            "golive_decisions_made",
            "Decisions made, by whom (person; time: the default, as nobody did; void: the run ended before)",
            (TENANT, "agent", "choice", "by"), MAX_SERIES,
        )  # fmt: skip
        self._pending: int | None = None
        pending = Gauge(
            "golive_decisions_pending",
            "Decisions that people have not made yet, 1,000 at most; of the whole store, so the same at every server",
            lambda: self._pending,
        )
        for family in (self._taken_over, self._lost, self._outages, self._asked, self._made, pending):
            registry.register(family)
        self._taken_over.add(0, ())  # so that the first one is seen as a rise
        self._lost.add(0, ())
        self._outages.add(0, ())

    def taken_over(self, runs: int) -> None:
        """So many more runs were left behind by other servers, or by this one before it was started again."""
        self._taken_over.add(runs, ())

    def lost(self, runs: int) -> None:
        """So many more runs of this server were taken over, or ended, by other servers."""
        self._lost.add(runs, ())

    def store_lost(self) -> None:
        """The store could not be reached, and before that it could."""
        self._outages.add(1, ())

    def pending(self, decisions: int | None) -> None:
        """So many decisions are pending now; None: the store cannot tell."""
        self._pending = decisions

    def asked(self, body: DecisionRequested, tenant: str, agent: str) -> None:
        """A run of the agent waits."""
        self._asked.add(1, (tenant, agent, body.about))

    def made(self, body: DecisionMade, tenant: str, agent: str) -> None:
        """It waits for that no more."""
        by = "void" if body.choice == VOID else "person" if body.by else "time"
        self._made.add(1, (tenant, agent, body.choice, by))
