"""What the lock files hold: each package with its version, its marker and the hashes of its artifacts."""

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
RUNTIME = ROOT / "requirements.lock"
DEVELOPMENT = ROOT / "requirements-dev.lock"
ALL = (RUNTIME, DEVELOPMENT, ROOT / "requirements-local.lock", ROOT / "requirements-bootstrap.lock")

_HASH = re.compile(r"\s--hash=sha256:([0-9a-f]{64})(?=\s|$)")


class Unreadable(Exception):
    """A file that cannot be read for what it should be; the text says which, where and what to do."""


@dataclass(frozen=True)
class Locked:
    """One package of a lock file.

    Attributes:
        name: Canonical (lower case, dashes).
        marker: Where it is installed; None is everywhere.
        hashes: SHA-256 of every artifact that may be installed, hexadecimal, in the file's order.
    """

    name: str
    version: str
    marker: Marker | None
    hashes: tuple[str, ...]

    @property
    def here(self) -> bool:
        """Whether it belongs to an installation on this platform and this Python."""
        return self.marker is None or self.marker.evaluate()


def read(path: Path) -> tuple[Locked, ...]:
    """Every package of a lock file, sorted by name.

    Raises:
        Unreadable: A line is not `name==version` with at least one SHA-256, or there is no line at all.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror}") from error
    lines = text.replace("\\\n", " ").splitlines()
    found = [_package(path.name, line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not found:
        raise Unreadable(f"{path.name} holds no package; write it anew: make lock")
    return tuple(sorted(found, key=lambda package: package.name))


def _package(file: str, line: str) -> Locked:
    words = line.split(" --hash=", 1)[0].strip()
    try:
        asked = Requirement(words)
    except InvalidRequirement as error:
        raise Unreadable(f"{file}: {words!r} is no requirement: {error}") from error
    pins = [pin.version for pin in asked.specifier if pin.operator == "==" and "*" not in pin.version]
    if len(pins) != 1 or len(asked.specifier) != 1:
        raise Unreadable(f"{file}: {words!r} is not pinned to one version; write it anew: make lock")
    hashes = tuple(_HASH.findall(line))
    if not hashes:
        raise Unreadable(f"{file}: {words!r} has no SHA-256; write it anew: make lock")
    return Locked(str(canonicalize_name(asked.name)), pins[0], asked.marker, hashes)
