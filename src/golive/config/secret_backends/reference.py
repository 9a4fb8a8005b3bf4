"""How a reference to a secret is written, and what its parts mean.

`env:NAME`, `file:PATH`, `aws-sm:NAME[#JSON-KEY][@VERSION-STAGE]`, `vault:PATH#FIELD`.
"""

import re
from typing import Literal, Protocol

from msgspec import Struct

from golive.core.errors import ConfigError

Kind = Literal["env", "file", "aws-sm", "vault"]
FORMS = "`env:NAME`, `file:PATH`, `aws-sm:NAME[#KEY][@STAGE]` or `vault:MOUNT/PATH#FIELD`"
REMOTE: frozenset[str] = frozenset({"aws-sm", "vault"})

_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_AWS = re.compile(r"(?P<name>[^#\s]+?)(?:#(?P<field>[^@#]+))?(?:@(?P<stage>[A-Za-z0-9_+=,.-]+))?")
_VAULT = re.compile(r"(?P<name>[^#\s/]+(?:/[^#\s/]+)+)#(?P<field>[^#]+)")


class Reference(Struct, frozen=True):
    """A reference taken apart. `text`: as it was written. `name`: variable, path, or the secret's own name. `field`: of
    a secret that holds several values. `stage`: AWS's version stage, "" for the current one."""

    text: str
    kind: Kind
    name: str
    field: str = ""
    stage: str = ""

    @property
    def remote(self) -> bool:
        """Whether the value comes over the network."""
        return self.kind in REMOTE


class Found(Struct, frozen=True):
    """A secret as its backend gave it. `version` is the backend's own word; `made_at` since when the value is this one,
    seconds since the epoch, where the backend knows."""

    value: str
    version: str = ""
    made_at: float | None = None


class Backend(Protocol):
    """A place that secrets come from over the network. Both methods block, and are called in threads."""

    def fetch(self, reference: Reference) -> Found:
        """The value now.

        Raises:
            SecretMissing: there is no such secret, field or version, or it is empty.
            SecretUnavailable: the backend cannot be reached, or refused us.
            ConfigError: the settings or the installation do not do.
        """
        ...

    def rotate(self, reference: Reference, value: str | None) -> str:
        """Puts `value` in as the newest version; None: has the backend make one by itself. Says what was done.

        Raises:
            InvalidRequest: it can make none by itself; the remedy says what to do.
            As `fetch`.
        """
        ...


def parse(text: str) -> Reference:
    """The reference.

    Raises:
        ConfigError: it is none, or has control characters. It is never echoed: it may be the secret itself.
    """
    kind, _, rest = text.partition(":") if text.isprintable() else ("", "", "")
    if kind == "env" and _ENV.fullmatch(rest):
        return Reference(text, "env", rest)
    if kind == "file" and rest:
        return Reference(text, "file", rest)
    if kind == "aws-sm" and (found := _AWS.fullmatch(rest)):
        return Reference(text, "aws-sm", found["name"], found["field"] or "", found["stage"] or "")
    if kind == "vault" and (found := _VAULT.fullmatch(rest)):
        return Reference(text, "vault", found["name"], found["field"])
    raise ConfigError(
        f"a reference to a secret is none of {FORMS} (not shown).", remedy="Write one of them.", key="", value="",
        origin="",
    )  # fmt: skip


def where(reference: Reference) -> dict[str, str]:
    """The fields that errors about a reference carry."""
    return {"key": "", "value": reference.text, "origin": reference.text}
