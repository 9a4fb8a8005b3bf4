"""What a worker process sees of the server's environment: next to nothing."""

from collections.abc import Mapping, Sequence

from golive.core.errors import AgentError

KEPT = ("PATH", "LANG", "LC_ALL", "TZ")
"""Handed on as they are; none holds a secret."""
OWN_PREFIX = "GOLIVE_"


def worker_environment(server: Mapping[str, str], names: Sequence[str], home: str) -> dict[str, str]:
    """`KEPT`, the variables of `worker.env` that are set, and a private HOME and TMPDIR.

    Raises:
        AgentError: `worker.env` names a setting of golive's own.
    """
    for name in names:
        if name.startswith(OWN_PREFIX):
            raise AgentError(
                f"worker.env names {name}: golive's own settings never reach users' code.",
                remedy="Remove it, or pass the tool a variable of its own.",
                key="worker.env",
                value=name,
            )
    environment = {"HOME": home, "TMPDIR": home}
    environment |= {name: server[name] for name in (*KEPT, *names) if name in server}
    return environment
