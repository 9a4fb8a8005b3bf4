"""Finds the name someone probably meant. Knows nothing of settings; works on any list of names."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name most like `word` (compared without case), or None when nothing comes close."""
    folded = {name.casefold(): name for name in sorted(names)}
    found = get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """A sentence that names the nearest name, or else the ones there are; "" when there are none."""
    options = sorted(names)
    near = nearest(word, options)
    if near is not None:
        return f"Did you mean `{near}`?"
    if not options:
        return ""
    listed = ", ".join(f"`{name}`" for name in options[:12])
    return f"Possible: {listed}{', …' if len(options) > 12 else ''}."
