"""The audit log of one server, put together: its key, its writer, what the door hands it, its upkeep.

Owns when it starts and ends, which secrets were used, and pruning. A command that works on the store itself has a
smaller one (`audit/acting.py`).
"""

import asyncio
import hashlib
from collections.abc import Callable

from prometheus_client import CollectorRegistry

from golive.audit.acting import own, trusted
from golive.audit.log import Audit
from golive.audit.signing import audit_key
from golive.audit.verifying import prune
from golive.config.load import Loaded
from golive.config.secrets import Secrets
from golive.core.chance import Chance
from golive.core.clock import Clock
from golive.core.errors import StoreError
from golive.core.tasks import Tasks
from golive.gateway.audit import Trail
from golive.gateway.audit_face import AuditFace
from golive.store.ports import Store
from golive.telemetry.audit import AuditMetrics
from golive.telemetry.logs import Log

PRUNE_S = 3_600.0


class Recording:
    """`start` it before anything is used that is to be recorded; `close` it last but for the store.

    Args:
        redact: takes credentials out of a text.
        holder: which server it is.
    """

    def __init__(
        self, loaded: Loaded, secrets: Secrets, store: Store, clock: Clock, chance: Chance,
        redact: Callable[[str], str], log: Log, holder: str,
    ) -> None:  # fmt: skip
        """Raises ConfigError where the key, or a proxy's address, cannot be used."""
        config = loaded.config
        self._clock = clock
        self._holder = holder
        self._keep_days = config.audit.keep_days
        self._log = log
        self.key = audit_key(config.secrets.audit_key, loaded.root, secrets.resolve, chance)
        self.audit = Audit(
            store.audit, self.key, clock, on_full=config.audit.on_full, redact=redact, info=log.info, error=log.error
        )
        self.trail = Trail(self.audit, config.audit, clock)
        self.trusted = trusted(self.key.public, config.audit.trusted_keys)
        self.face = AuditFace(store.audit, self.key, self.trusted, clock)
        self._seen: dict[str, bytes] = {}
        self._tasks = Tasks("recording")

    async def start(self) -> None:
        """Begins to write. Raises StoreUnavailable."""
        await self.audit.start()
        await self._tell_of_a_new_key()
        self._tasks.start(self.trail.keep(), "sums")
        if self._keep_days is not None:
            self._tasks.start(self._prune_for_ever(self._keep_days), "prune")

    async def close(self) -> None:
        """Writes and signs what is left."""
        await self._tasks.close()
        self.trail.flush()
        await self.audit.close()

    def measured(self, registry: CollectorRegistry) -> None:
        """Shows in these metrics what waits, what was lost and what was signed."""
        audit = self.audit
        AuditMetrics(registry, lambda: audit.waiting, lambda: audit.dropped, lambda: audit.checkpoints)

    def secret(self, reference: str, value: str) -> None:
        """A secret was used: the first time, and each time that it is another than before."""
        seen = hashlib.sha256(self.key.id.encode() + value.encode()).digest()
        before = self._seen.get(reference)
        if before == seen:
            return
        self._seen[reference] = seen
        self.note("secrets.use", "secret", reference, {"changed": "yes"} if before else {})

    def note(self, verb: str, kind: str, name: str, detail: dict[str, str] | None = None) -> None:
        """The server itself did something that concerns the installation."""
        self.audit.note(own(self._clock, f"server:{self._holder}", verb, kind, name, "done", detail or {}))

    async def _tell_of_a_new_key(self) -> None:
        """Whoever replaces the key is told of in the log: by the last signature, which is another key's."""
        for head in await self.audit.store.heads():
            marks = await self.audit.store.tenant(head.tenant).checkpoints()
            strange = {row.key_id for row in marks if not self.trusted.knows(row)}
            if strange:
                self._log.error("audit.key_unknown", tenant=head.tenant, keys=sorted(strange), key_id=self.key.id)
                self.note("audit.key_unknown", "audit", head.tenant, {"keys": ",".join(sorted(strange))})

    async def _prune_for_ever(self, days: float) -> None:
        while True:
            try:
                for mark, removed in await prune(self.audit.store, self.key, self._clock, days):
                    entry = own(
                        self._clock, f"server:{self._holder}", "audit.prune", "audit", str(mark.seq), "done",
                        {"removed": str(removed)}, mark.tenant,
                    )  # fmt: skip
                    self.audit.note(entry)
            except StoreError as error:
                self._log.error("audit.not_pruned", message=error.message)
            await asyncio.sleep(PRUNE_S)
