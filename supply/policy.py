"""The policy of the supply chain (`policy.toml`): licences allowed, licences a person has read, advisories accepted.

Whether a licence is allowed is decided here; where a package says which licence it has is `licences.py`.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from license_expression import AND, OR, ExpressionError, LicenseWithExceptionSymbol, get_spdx_licensing
from packaging.utils import canonicalize_name

from supply.locked import Unreadable

PATH = Path(__file__).parent / "policy.toml"
COPYLEFT = ("AGPL-", "GPL-", "LGPL-", "MPL-", "EPL-", "EUPL-", "CDDL-", "OSL-", "CC-BY-SA-", "SSPL-", "CECILL-")
"""How SPDX names of licences begin that ask something of what they are combined with; for the words alone."""

_SPDX = get_spdx_licensing()


@dataclass(frozen=True)
class Review:
    """What a person found out about the licence of one version of one package.

    Attributes:
        licence: SPDX expression.
        accepted: It may be used though its licence is not on the list.
        because: Where it was read, or why it may be used.
    """

    version: str
    licence: str
    accepted: bool
    because: str


@dataclass(frozen=True)
class Acceptance:
    """An advisory that does not fail the audit, for one package, up to and including a day."""

    package: str
    until: date
    because: str


@dataclass(frozen=True)
class Policy:
    """`policy.toml`, read.

    Attributes:
        words: What packages write instead of an SPDX expression -> the expression.
    """

    allowed: frozenset[str]
    words: Mapping[str, str]
    reviewed: Mapping[str, Review]
    accepted: Mapping[str, Acceptance]

    def spdx(self, said: str) -> str | None:
        """The SPDX expression for what a package says of its licence; None where that is not certain."""
        said = self.words.get(said.strip(), said.strip())
        try:
            return str(_SPDX.parse(said, validate=True)) if said else None
        except ExpressionError:
            return None

    def objection(self, expression: str) -> str:
        """What speaks against a licence, in words; empty where it is allowed."""
        return _objection(_SPDX.parse(expression, validate=True), self.allowed)


def _objection(tree: Any, allowed: frozenset[str]) -> str:
    if isinstance(tree, OR):
        each = [_objection(part, allowed) for part in tree.args]
        return "" if "" in each else "; ".join(each)
    if isinstance(tree, AND):
        return "; ".join(filter(None, (_objection(part, allowed) for part in tree.args)))
    name = str(tree)
    if name in allowed:
        return ""
    plain = str(tree.license_symbol) if isinstance(tree, LicenseWithExceptionSymbol) else name
    if plain.startswith(COPYLEFT):
        return f"{name} is copyleft"
    return f"{name} is not on the list of allowed licences"


def read(path: Path = PATH) -> Policy:
    """The policy of a file.

    Raises:
        Unreadable: It is not TOML, or lacks what it must have.
    """
    try:
        said = tomllib.loads(path.read_text("utf-8"))
        return Policy(
            allowed=frozenset(said["allowed"]),
            words=dict(said.get("words", {})),
            reviewed={str(canonicalize_name(entry["name"])): _review(entry) for entry in said.get("reviewed", [])},
            accepted={entry["advisory"]: _acceptance(entry) for entry in said.get("accepted", [])},
        )
    except OSError as error:
        raise Unreadable(f"{path.name} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise Unreadable(f"{path.name} is not as it should be: {error}") from error


def _review(entry: Mapping[str, Any]) -> Review:
    try:
        _SPDX.parse(entry["licence"], validate=True)
    except ExpressionError as error:
        raise KeyError(f"{entry['name']}: {entry['licence']!r} is no SPDX expression") from error
    return Review(entry["version"], entry["licence"], bool(entry.get("accepted", False)), entry["because"])


def _acceptance(entry: Mapping[str, Any]) -> Acceptance:
    if type(entry["until"]) is not date:
        raise TypeError(f"{entry['advisory']}: until must be a day, like 2027-01-31")
    return Acceptance(str(canonicalize_name(entry["package"])), entry["until"], entry["because"])
