"""Settings by pattern on a target's name `provider/model`, as [prices] and [capabilities] have them.

Owns which pattern comes before which; what a section means is its reader's.
"""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Generic, TypeVar

Setting = TypeVar("Setting")


class ByPattern(Generic[Setting]):
    """Sections by pattern: `*` matches anything, `?` one character, `[ab]` one of these; case counts."""

    def __init__(self, sections: Mapping[str, Setting]) -> None:
        # The most specific first: the one with most characters that are no wildcard, then by name.
        self._sections = sorted(sections.items(), key=lambda item: (-_literal(item[0]), item[0]))

    def all_of(self, target: str) -> Iterator[Setting]:
        """The sections that match, the most specific one first."""
        return (section for pattern, section in self._sections if fnmatchcase(target, pattern))

    def first_of(self, target: str) -> Setting | None:
        """The most specific section that matches; None: there is none."""
        return next(self.all_of(target), None)


def _literal(pattern: str) -> int:
    return sum(1 for character in pattern if character not in "*?[]")
