"""Packages planted for the tests: metadata as installed packages have it, found in the place of the real ones."""

from collections.abc import Mapping
from email.message import Message
from importlib.metadata import Distribution, PackageMetadata, PackageNotFoundError
from os import PathLike
from pathlib import Path
from typing import cast

from supply.locked import Locked
from supply.policy import Policy, Review

HASH = "ab" * 32


class Planted(Distribution):
    """An installed package with these metadata fields."""

    def __init__(self, name: str, version: str, fields: Mapping[str, str | tuple[str, ...]]) -> None:
        self._message = Message()
        self._message["Name"], self._message["Version"] = name, version
        for field, values in fields.items():
            for value in (values,) if isinstance(values, str) else values:
                self._message[field] = value

    @property
    def metadata(self) -> PackageMetadata:
        return cast(PackageMetadata, self._message)

    def read_text(self, filename: str) -> str | None:
        return None

    def locate_file(self, path: str | PathLike[str]) -> Path:
        return Path(path)


def finding(*planted: Planted):  # type: ignore[no-untyped-def]
    """A stand-in of `importlib.metadata.distribution` that knows these packages alone."""
    known = {each.metadata["Name"]: each for each in planted}

    def find(name: str) -> Distribution:
        if name not in known:
            raise PackageNotFoundError(name)
        return known[name]

    return find


def package(name: str = "planted", version: str = "1.0") -> Locked:
    """A package as the lock file would hold it."""
    return Locked(name, version, None, (HASH,))


def rules(**reviewed: Review) -> Policy:
    """A policy that allows MIT, Apache-2.0 and BSD-3-Clause."""
    allowed = frozenset({"MIT", "Apache-2.0", "BSD-3-Clause"})
    words = {"License :: OSI Approved :: MIT License": "MIT", "MIT License": "MIT"}
    return Policy(allowed=allowed, words=words, reviewed=reviewed, accepted={})
