"""Advisories in a file of one's own, in the format of OSV: which of them speak of a package at a version.

A file is one record, a list of records, or a zip or folder of such files (OSV's export for PyPI is a zip). A record
that cannot be judged counts as speaking of the package: what is not certain is no pass.

Source: Open Source Vulnerability format, ossf.github.io/osv-schema (versions 1.x).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from supply.locked import Unreadable

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Advisory:
    """One advisory that speaks of one package at one version.

    Attributes:
        names: The identifier and its aliases; the first is shown.
        fixed: Versions that mend it, as far as known.
    """

    names: tuple[str, ...]
    package: str
    version: str
    fixed: tuple[str, ...]


@dataclass(frozen=True)
class Book:
    """The records of a file, by package.

    Attributes:
        newest: When the newest record was last changed; None without a record.
    """

    records: Mapping[str, Sequence[Record]]
    newest: datetime | None

    def about(self, name: str, version: str) -> list[Advisory]:
        """What speaks of this package at this version; withdrawn records do not."""
        return [
            Advisory((record["id"], *record.get("aliases", ())), name, version, _fixes(record, name))
            for record in self.records.get(name, ())
            if not record.get("withdrawn") and any(_hit(each, version) for each in _affected(record, name))
        ]


def read(path: Path) -> Book:
    """The records of a file, a folder or a zip.

    Raises:
        Unreadable: It cannot be read, is not JSON, or is not what OSV calls a record.
    """
    records: dict[str, list[Record]] = {}
    newest: datetime | None = None
    try:
        for record in _records(path):
            changed = datetime.fromisoformat(record["modified"])
            changed = changed if changed.tzinfo else changed.replace(tzinfo=UTC)
            newest = changed if newest is None else max(newest, changed)
            str(record["id"])
            for name in {canonicalize_name(each["package"]["name"]) for each in _affected(record)}:
                records.setdefault(str(name), []).append(record)
    except (OSError, BadZipFile, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"{path.name} cannot be read as OSV records: {type(error).__name__}: {error}") from error
    return Book(records, newest)


def _records(path: Path) -> Iterator[Record]:
    if path.is_dir():
        texts = [each.read_text("utf-8") for each in sorted(path.glob("*.json"))]
    elif path.suffix == ".zip":
        with ZipFile(path) as archive:
            texts = [archive.read(name).decode() for name in sorted(archive.namelist()) if name.endswith(".json")]
    else:
        texts = [path.read_text("utf-8")]
    for text in texts:
        content = json.loads(text)
        yield from content if isinstance(content, list) else [content]


def _affected(record: Record, name: str | None = None) -> list[Record]:
    return [
        each
        for each in record.get("affected", ())
        if each["package"]["ecosystem"] == "PyPI" and name in (None, canonicalize_name(each["package"]["name"]))
    ]


def _hit(affected: Record, version: str) -> bool:
    """Whether a version is named, or lies in a range; ranges of commits say nothing about versions."""
    ranges = [each for each in affected.get("ranges", ()) if each["type"] != "GIT"]
    versions = affected.get("versions", ())
    try:
        at = Version(version)
        if any(Version(each) == at for each in versions):
            return True
        return any(_inside(each["events"], at) for each in ranges) or not (ranges or versions)
    except (InvalidVersion, KeyError, TypeError):
        return True


def _inside(events: Sequence[Mapping[str, str]], at: Version) -> bool:
    def place(event: Mapping[str, str]) -> Version:
        (said,) = (each for kind, each in event.items() if kind in ("introduced", "fixed", "last_affected", "limit"))
        return Version(said)

    inside = False
    for event in sorted(events, key=place):
        if "introduced" in event:
            inside = inside or place(event) <= at
        elif "fixed" in event:
            inside = inside and at < place(event)
        elif "last_affected" in event:
            inside = inside and at <= place(event)
    return inside


def _fixes(record: Record, name: str) -> tuple[str, ...]:
    ranges = (each for affected in _affected(record, name) for each in affected.get("ranges", ()))
    return tuple(e["fixed"] for each in ranges if each["type"] != "GIT" for e in each["events"] if "fixed" in e)
