"""Why a write does not stand, in the words of every store."""

from typing import Any

from golive.core.errors import Conflict, Fenced, VersionTaken
from golive.store.ports import Lease, VersionRow


def why_not(
    lease: Lease, expected_seq: int, epoch: int | None, seq: int | None, holder: str | None
) -> Fenced | Conflict:
    """The reason why an append under `lease` does not stand: its run has this epoch, seq and holder (None: no run)."""
    fields: dict[str, Any] = {
        "tenant": lease.tenant,
        "run": lease.run,
        "epoch": lease.epoch,
        "expected_seq": expected_seq,
    }
    if epoch is None:
        return Conflict(
            f"Run {lease.run} does not exist, yet seq {expected_seq} was expected under epoch {lease.epoch}.",
            remedy="A run begins with epoch 1 and seq 0, and with at least one event.",
            **fields,
        )
    if epoch != lease.epoch:
        return Fenced(
            f"Run {lease.run} is held under epoch {epoch} by {holder}; epoch {lease.epoch} is over.",
            remedy="Stop working on this run: its new holder goes on.",
            **fields,
            held_epoch=epoch,
        )
    return Conflict(
        f"Run {lease.run} stands at seq {seq}, not at {expected_seq} as expected.",
        remedy="Read the run's events again and decide anew.",
        **fields,
        seq=seq,
    )


def version_taken(stands: VersionRow, row: VersionRow) -> VersionTaken:
    """The name is bound to another digest."""
    return VersionTaken(
        f"Version {row.name!r} of agent {row.agent!r} is registered with digest {stands.digest}, "
        f"and its folder now has {row.digest}: something in it changed.",
        remedy="Give the changed agent a new version in agent.toml; a version, once registered, never changes.",
        agent=row.agent,
        name=row.name,
        registered=stands.digest,
        digest=row.digest,
    )
