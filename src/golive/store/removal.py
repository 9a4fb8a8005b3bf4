"""What removes rows from a store for good: runs whose time is over, and all that was a tenant's or a user's.

The ledger stays in each case, for it holds amounts alone, and so does the audit log, which holds no content.
"""

from collections.abc import Sequence
from typing import Protocol


class Removes(Protocol):
    """A store that removes."""

    async def prune(
        self, finished_before: float, limit: int, tenant: str | None = None, but: Sequence[str] = ()
    ) -> int:
        """Removes runs that finished before then, with all that belongs to them; returns how many.

        Runs of which a message is still due stay.

        Args:
            tenant: of that tenant alone; None: of all, `but` of these.
        """
        ...

    async def erase_runs(self, tenant: str, user: str | None, limit: int) -> int:
        """Removes runs of a user (None: all of the tenant), with events, messages, decisions, views and leases.

        Those under way as well, whose holders are fenced, and messages that are still due. To be called until it
        returns 0: then there are none, unless somebody begins another. SQLite overwrites what it removes.

        Returns:
            How many it took up, `limit` at most.
        """
        ...

    async def erase_tenant_rows(self, tenant: str) -> dict[str, int]:
        """Removes the tenant's keys, schedules, versions (not those of `default`), credentials, users and revocations.

        The tenant's own row stays. The control version grows.

        Returns:
            How many rows of each table.
        """
        ...

    async def wipe(self) -> bool:
        """Sees to it that nothing of what was erased stays in the log that the database writes ahead of its file.

        `erase_runs` and `erase_tenant_rows` try it themselves; here it can be waited for, and is after data keys were
        destroyed. PostgreSQL looks after its log itself.

        Returns:
            False: not yet, for somebody reads an older state; ask again.
        """
        ...
