"""Metrics of the keys that content is sealed under: how many, how much is left in them, what could not be opened.

What the store knows is read now and then, not at each scrape; which master keys there are, and failures, are as of now.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from golive.core.errors import StoreError
from golive.core.sealing import MOST_VALUES
from golive.core.tasks import Tasks
from golive.store.data_keys import DataKeyStore
from golive.store.sealed.keys import DataKeys

EVERY_S = 60.0
MOST_TENANTS = 200
"""Tenants with series of their own; of the others there is one series, of what is worst among them."""
OTHER = "other"


class DataKeyMetrics(Collector):
    """Registers itself; `start` begins to read the store."""

    def __init__(self, registry: CollectorRegistry, store: DataKeyStore, keys: DataKeys) -> None:
        self._store = store
        self._keys = keys
        self._counts: dict[tuple[str, str, str], int] = {}
        self._left: dict[str, int] = {}
        self._tasks = Tasks("data key metrics")
        registry.register(self)

    async def start(self) -> None:
        """Reads what there is, and goes on doing so. Raises StoreUnavailable."""
        await self.look()
        self._tasks.start(self._keep(), "look")

    async def close(self) -> None:
        """Stops reading."""
        await self._tasks.close()

    async def look(self) -> None:
        """Reads what there is once. Raises StoreUnavailable."""
        counted = Counter[tuple[str, str, str]]()
        for count in await self._store.counts():
            counted[count.tenant, count.scope, count.state] += count.count
        self._counts = dict(counted)
        self._left = {
            row.tenant: max(0, MOST_VALUES - row.reserved)
            for row in await self._store.all()
            if row.retired_at is None and row.erased_at is None
        }

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            with suppress(StoreError):  # the last figures stay; /health reports the store
                await self.look()

    def describe(self) -> Iterable[Metric]:
        """The families, without values."""
        return self._families()

    def collect(self) -> Iterable[Metric]:
        """The families as of now."""
        count, left, master, failures = families = self._families()
        named = set(sorted({tenant for tenant, _, _ in self._counts} | set(self._left))[:MOST_TENANTS])
        summed = Counter[tuple[str, str, str]]()
        for (tenant, scope, state), number in self._counts.items():
            summed[_named(tenant, named), scope, state] += number
        for labels, number in sorted(summed.items()):
            count.add_metric(labels, number)
        least: dict[str, int] = {}
        for tenant, values in self._left.items():
            shown = _named(tenant, named)
            least[shown] = min(values, least.get(shown, MOST_VALUES))
        for tenant, values in sorted(least.items()):
            left.add_metric([tenant], values)
        for name in sorted(self._keys.masters.accepted):
            master.add_metric([name, "present" if name == self._keys.masters.present else "accepted"], 1)
        failed = Counter[str]()
        for tenant, number in self._keys.not_opened.items():
            failed[_named(tenant, named)] += number
        for tenant, number in sorted(failed.items()):
            failures.add_metric([tenant], number)
        return families

    @staticmethod
    def _families() -> tuple[GaugeMetricFamily, GaugeMetricFamily, GaugeMetricFamily, CounterMetricFamily]:
        return (
            GaugeMetricFamily(
                "golive_data_keys", "Keys that content is sealed under, of tenants and users, by state",
                labels=["tenant", "scope", "state"],
            ),
            GaugeMetricFamily(
                "golive_data_key_values_left", "Values that may still be sealed under a tenant's present key",
                labels=["tenant"],
            ),
            GaugeMetricFamily(
                "golive_master_key", "1 for each master key that this server has: present, or accepted besides",
                labels=["master", "use"],
            ),
            CounterMetricFamily(
                "golive_content_not_opened", "Values that did not open: changed, moved, or of a key that is not had",
                labels=["tenant"],
            ),
        )  # fmt: skip


def _named(tenant: str, named: set[str]) -> str:
    return tenant if tenant in named or len(named) < MOST_TENANTS else OTHER
