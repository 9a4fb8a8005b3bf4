"""Many uses of one kind as one entry: who polls is told once in a while, with how often."""

from collections.abc import Callable

from msgspec.structs import replace

from golive.store.audit import AuditEntry

MOST = 2_000
"""Different uses that are summed up at once; past them all are written, and it begins anew."""


class Sums:
    """Hands each entry on with how often it came, when `flush` is called."""

    def __init__(self, note: Callable[[AuditEntry], None]) -> None:
        self._note = note
        self._sums: dict[tuple[str, ...], list[AuditEntry | int | float]] = {}

    @property
    def full(self) -> bool:
        """Whether so many differ already that strangers need not be told apart: a flood of them is one entry."""
        return len(self._sums) >= MOST // 2

    def add(self, entry: AuditEntry) -> None:
        """Counts it with those that differ in nothing but time."""
        key = (
            entry.tenant, entry.actor, entry.home, entry.verb, entry.kind, entry.name, entry.outcome, entry.source,
            entry.route,
        )  # fmt: skip
        found = self._sums.get(key)
        if found is not None:
            found[1] += 1  # type: ignore[operator]
            found[2] = entry.at
            return
        if len(self._sums) >= MOST:
            self.flush()
        self._sums[key] = [entry, 1, entry.at]

    def flush(self) -> None:
        """Hands all on."""
        sums, self._sums = self._sums, {}
        for entry, count, last in sums.values():
            assert isinstance(entry, AuditEntry)
            more = {} if count == 1 else {"count": str(count), "last_at": f"{last:.3f}"}
            self._note(replace(entry, detail={**entry.detail, **more}) if more else entry)
