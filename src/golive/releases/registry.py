"""Binds version names to digests, for good. Leaves the digest to `digest.py` and the rows to the store."""

from golive.core.errors import VersionTaken
from golive.store.ports import TenantStore, VersionRow

_DEV_DIGITS = 8


async def register(store: TenantStore, agent: str, version_name: str, digest: str, now: float) -> VersionRow:
    """Registers the version; the same name with the same digest gives the row that stands already.

    Args:
        now: wall time, seconds.

    Raises:
        VersionTaken: the name is bound to another digest.
    """
    try:
        return await store.register_version(VersionRow(store.tenant, agent, version_name, digest, now))
    except VersionTaken as error:
        message = f"version {version_name} of agent {agent} was registered with other content."
        remedy = f"Raise `version` in agents/{agent}/agent.toml, or restore the content."
        fields = {"key": "version", "value": version_name, "origin": f"agents/{agent}/agent.toml"}
        raise VersionTaken(message, remedy=remedy, **fields, agent=agent, digest=digest) from error


def dev_name(version_name: str, digest: str) -> str:
    """The name under which `golive dev` registers, such as `1.0.0+dev.3f9a01bc`: each edit has its own."""
    joint = "." if "+" in version_name else "+"
    return f"{version_name}{joint}dev.{digest.removeprefix('sha256:')[:_DEV_DIGITS]}"
