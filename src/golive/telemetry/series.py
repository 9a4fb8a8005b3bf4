"""Counters, histograms and gauges that cost one look-up in a dict, for the one thread of the event loop.

Owns how series are kept and what a scrape is given of them; which there are is `metrics.py`'s. Prometheus' own client
locks and checks labels at every value, which a server without threads need not pay. Each family is a collector of its
registry. Told without `_created` samples: Prometheus' text format has no such thing.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

Labels = tuple[str, ...]
S = TypeVar("S")


TENANT = "tenant"
"""The first label of what is told of a tenant."""


class _Family(Collector, Generic[S]):
    """Series by their labels' values; past `most` of them, what is new is kept together under `other`.

    Where the first label is the tenant, that stays, so that what a tenant did is never counted as another's; and none
    has more than a quarter of `most`, so that the names one brings along take no other's room. `always` says which
    values of the label behind it (of the first one, where it is none) get a series of their own all the same.
    """

    def __init__(
        self, name: str, text: str, labels: Labels, most: int, always: Callable[[str], bool] | None = None
    ) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self._most = most
        self._always = always
        self._lead = 1 if labels[:1] == (TENANT,) else 0
        self._of: dict[Labels, int] = {}
        """How many series each tenant has."""
        self._series: dict[Labels, S] = {}

    def _admitted(self, labels: Labels) -> Labels:
        """The labels under which a series that is not there yet is kept."""
        assert len(labels) == len(self._labels)
        lead = self._lead
        whose = labels[:lead]
        room = len(self._series) < self._most and (not lead or self._of.get(whose, 0) < max(1, self._most // 4))
        if not room and (self._always is None or not self._always(labels[lead])):
            labels = whose + ("other",) * (len(labels) - lead)
        if lead and labels not in self._series:
            self._of[whose] = self._of.get(whose, 0) + 1
        return labels


class Counters(_Family[float]):
    """One counter for each set of labels."""

    def add(self, amount: float, labels: Labels) -> None:
        """Counts `amount`, which is never negative, under `labels` in the family's order."""
        series = self._series
        try:
            series[labels] += amount
        except KeyError:
            labels = self._admitted(labels)
            series[labels] = series.get(labels, 0.0) + amount

    def collect(self) -> Iterable[Metric]:
        """One family with all its series, for the registry."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for labels, value in self._series.items():
            family.add_metric(labels, value)
        yield family


class Histograms(_Family[list[float]]):
    """One histogram for each set of labels: a list of how many fell into each bucket, then the sum of all values."""

    def __init__(
        self, name: str, text: str, labels: Labels, buckets: Sequence[float], most: int,
        always: Callable[[str], bool] | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            buckets: upper bounds, ascending, each still part of its bucket; what is above falls into `+Inf`.
        """
        super().__init__(name, text, labels, most, always)
        self._bounds = tuple(buckets)
        self._names = [*(str(float(bound)) for bound in buckets), "+Inf"]

    def observe(self, value: float, labels: Labels) -> None:
        """Takes in one value under `labels` in the family's order."""
        counts = self._series.get(labels)
        if counts is None:
            empty = [0.0] * (len(self._names) + 1)
            counts = self._series.setdefault(self._admitted(labels), empty)
        counts[bisect_left(self._bounds, value)] += 1
        counts[-1] += value

    def collect(self) -> Iterable[Metric]:
        """One family with all its series, for the registry; a bucket counts those below it too."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for labels, (*counts, total) in self._series.items():
            below = 0.0
            buckets: list[tuple[str, float]] = []
            for name, count in zip(self._names, counts, strict=True):
                below += count
                buckets.append((name, below))
            family.add_metric(labels, buckets, total)
        yield family


class Gauge(Collector):
    """One number, read whenever metrics are; without a sample where it is not known (None)."""

    def __init__(self, name: str, text: str, read: Callable[[], float | None]) -> None:
        self._name = name
        self._text = text
        self.read = read

    def collect(self) -> Iterable[Metric]:
        """The number as it is now, for the registry."""
        number = self.read()
        family = GaugeMetricFamily(self._name, self._text)
        if number is not None:
            family.add_metric((), number)
        yield family


class Gauges(Collector):
    """One number for each set of labels, read whenever metrics are."""

    def __init__(self, name: str, text: str, labels: Labels) -> None:
        self._name = name
        self._text = text
        self._labels = labels
        self.read: Callable[[], Mapping[Labels, float]] = dict

    def collect(self) -> Iterable[Metric]:
        """One family with the numbers as they are now, for the registry."""
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for labels, value in self.read().items():
            family.add_metric(labels, value)
        yield family
