"""Binds version names to digests, for good. Leaves the digest to `digest.py` and the rows to the store."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from golive.core.errors import VersionTaken
from golive.store.ports import TenantStore, VersionRow

_DEV_DIGITS = 8


class Version(NamedTuple):
    """A version's name, of an agent, and its content."""

    agent: str
    name: str
    digest: str


async def unbound(store: TenantStore, versions: Iterable[Version]) -> None:
    """Whether every name is free, or bound to the digest already.

    Raises:
        VersionTaken: it names every one that is not.
    """
    bound = {(row.agent, row.name): row.digest for row in await store.versions()}
    taken = [one for one in versions if bound.get((one.agent, one.name), one.digest) != one.digest]
    if taken:
        raise _taken(taken)


async def register(store: TenantStore, version: Version, now: float) -> VersionRow:
    """Registers the version; the same name with the same digest gives the row that stands already.

    Args:
        now: wall time, seconds.

    Raises:
        VersionTaken: the name is bound to another digest.
    """
    try:
        return await store.register_version(VersionRow(store.tenant, *version, now))
    except VersionTaken as error:
        raise _taken([version]) from error


def dev_name(version_name: str, digest: str) -> str:
    """The name under which `golive dev` registers, such as `1.0.0+dev.3f9a01bc`: each edit has its own."""
    joint = "." if "+" in version_name else "+"
    return f"{version_name}{joint}dev.{digest.removeprefix('sha256:')[:_DEV_DIGITS]}"


def _taken(versions: Sequence[Version]) -> VersionTaken:
    named = ", ".join(f"version {one.name} of agent {one.agent}" for one in versions)
    files = [f"agents/{one.agent}/agent.toml" for one in versions]
    return VersionTaken(
        f"{named} {'was' if len(versions) == 1 else 'were'} registered with other content: files of the agent, the "
        "lock of its dependencies, or the addresses of its models' providers differ.",
        remedy=f"Raise `version` in {', '.join(files)}, or restore what differs.",
        key="version", value=versions[0].name, origin=files[0],
        agent=", ".join(one.agent for one in versions), digest=versions[0].digest,
    )  # fmt: skip
