"""What `secrets.tenant_references` allows: which references a tenant's administrators may set, and how far one leads.

A reference is judged by its parts as its backend will use them (`secret_backends/reference.py`), and a file also by
where it really lies: a symbolic link leads nobody out of the folder that the installation gives its tenants.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from golive.config.secret_backends.reference import Reference, where
from golive.config.section import NAME
from golive.core.errors import ConfigError

TENANT = "{tenant}"
_TENANT = f"({NAME.strip('^$')})"
_ODD = frozenset("%\\?;")
"""What some backend may read as something else than itself."""


def climbs(reference: Reference) -> bool:
    """Whether it may lead elsewhere than its beginning says: by `..` anywhere, an empty step, or escapes of them."""
    rest = reference.text.partition(":")[2]
    steps = reference.name.removeprefix("/").split("/")
    return not (
        _ODD.isdisjoint(rest) and {"", "."}.isdisjoint(steps) and {".", ".."}.isdisjoint(re.split("[/#@]", rest))
    )


def may_set(patterns: Sequence[str], tenant: str, reference: Reference) -> bool:
    """Whether the tenant's own administrators may set it."""
    if climbs(reference):
        return False
    named = f"{reference.kind}:{reference.name}"
    for pattern in patterns:
        own = pattern.replace(TENANT, tenant)
        stem = own.removesuffix("*")
        if own == reference.text or (stem != own and (reference.text if "#" in stem else named).startswith(stem)):
            return True
    return False


def contained(patterns: Sequence[str], root: Path, reference: Reference) -> Path:
    """Where a file that a tenant may name really lies; of any other file, where its name says.

    Args:
        root: what relative paths are relative to.

    Raises:
        ConfigError: a link leads out of the folder that the pattern names.
    """
    path = root / reference.name
    folders = list(_folders(patterns, reference))
    if not folders or None in folders:
        return path
    try:
        real = path.resolve()
        inside = any(real.is_relative_to((root / folder).resolve()) for folder in folders if folder is not None)
    except (OSError, RuntimeError, ValueError):  # a circle of links, or what is no path
        inside = False
    if not inside:
        raise ConfigError(
            f"the secret `{reference.text}` cannot be read: it leads out of the folder that secrets.tenant_references "
            "gives its tenant.", remedy="Put the file itself there, and no link to another place.", **where(reference),
        )  # fmt: skip
    return real


def _folders(patterns: Sequence[str], reference: Reference) -> Iterator[str | None]:
    """The folder of each pattern that covers the file, for whichever tenant; None: that pattern covers any file."""
    for pattern in patterns:
        kind, _, name = pattern.partition(":")
        if kind != "file":
            continue
        stem = name.removesuffix("*")
        first, *others = map(re.escape, stem.split(TENANT))
        shape = first + (_TENANT if others else "") + r"\1".join(others)
        found = re.match(shape if stem != name else f"{shape}$", reference.name)
        if found is not None:
            yield found[0][: found[0].rfind("/") + 1] if found[0] else None
