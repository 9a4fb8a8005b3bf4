"""What a worker process sees of the server's environment: next to nothing."""

import ctypes
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from urllib.parse import unquote, urlsplit

from golive.core.errors import AgentError

KEPT = ("PATH", "LANG", "LC_ALL", "TZ")
"""Handed on as they are; none holds a secret."""
OWN_PREFIX = "GOLIVE_"
_TELLING_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH(?!OR)|PRIVATE", re.IGNORECASE)
_PR_SET_DUMPABLE = 4  # linux/prctl.h


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


def secret_values(server: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """What of the variables handed to tools is taken for a secret: by a variable's name, and passwords in addresses."""
    found: list[str] = []
    for name in names:
        value = server.get(name, "")
        if _TELLING_NAME.search(name):
            found.append(value)
        with suppress(ValueError):  # no address
            password = urlsplit(value).password or ""
            found += [password, unquote(password)]
    return [value for value in dict.fromkeys(found) if value]


def close_to_peers() -> None:
    """Keeps other processes of this user, workers above all, from reading this one's memory and environment in /proc.

    Root may read everything all the same: do not serve as root. Elsewhere than on Linux it does nothing.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_DUMPABLE) was refused")
