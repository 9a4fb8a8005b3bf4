"""`make licences`: what every runtime dependency is licensed under, held to the policy.

The packages are those of the lock file, and those that the extras `aws` and `vault` bring along. What a package says is
read from its metadata in this environment; no network is asked. Whether that is allowed is decided in `policy.py`.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from supply import locked, policy
from supply.locked import Locked, Unreadable

EXTRAS = ("aws", "vault")
"""Extras whose packages are in the development lock, and so in this environment; `local` has a lock of its own."""

LONGEST_NAME = 100
"""Characters; a longer `License` field is the text of a licence, not its name."""

Find = Callable[[str], Distribution]


@dataclass(frozen=True)
class Finding:
    """One package, its licence, and what speaks against it.

    Attributes:
        licence: SPDX expression, or what the package says where that is not certain.
        source: Where it is from: metadata, or the review in the policy.
        objection: In words, with the remedy; empty where the policy allows it.
    """

    name: str
    version: str
    licence: str
    source: str
    objection: str


def needs(name: str, extras: Iterable[str] = (), find: Find = distribution) -> dict[str, set[str]]:
    """What a package with these extras of it needs on this platform, directly: canonical name -> extras of that."""
    wanted = ("", *extras)
    found: dict[str, set[str]] = {}
    for text in find(name).requires or ():
        asked = Requirement(text)
        if asked.marker is None or any(asked.marker.evaluate({"extra": extra}) for extra in wanted):
            found.setdefault(str(canonicalize_name(asked.name)), set()).update(asked.extras)
    return found


def everything(extras: Iterable[str] = (), find: Find = distribution) -> dict[str, set[str]]:
    """What golive with these extras needs on this platform, directly or not, golive itself too: name -> extras."""
    found: dict[str, set[str]] = {}
    ahead = {"golive": set(extras)}
    while ahead:
        name, asked = ahead.popitem()
        if name in found and asked <= found[name]:
            continue
        found.setdefault(name, set()).update(asked)
        for each, its in needs(name, found[name], find).items():
            ahead.setdefault(each, set()).update(its)
    return found


def said(metadata: Distribution) -> tuple[str, ...]:
    """All that a package says of its licence: one SPDX expression, or words and classifiers."""
    fields = metadata.metadata
    expression = fields.get_all("License-Expression")
    if expression:
        return tuple(expression)
    words = "".join(fields.get_all("License") or ()).strip()
    classifiers = [each for each in fields.get_all("Classifier") or () if each.startswith("License :: ")]
    short = [words] if words and len(words) <= LONGEST_NAME else []
    return (*short, *classifiers)


def judge(package: Locked, rules: policy.Policy, find: Find = distribution) -> Finding:
    """One package held to the policy; what is not certain is an objection."""

    def finding(licence: str, source: str, objection: str) -> Finding:
        return Finding(package.name, package.version, licence, source, objection)

    review = rules.reviewed.get(package.name)
    if review is not None and review.version == package.version:
        objection = "" if review.accepted else rules.objection(review.licence)
        return finding(review.licence, "reviewed", objection)
    try:
        metadata = find(package.name)
    except PackageNotFoundError:
        where = "is not in this environment: make setup" if package.here else f"is for {package.marker} only"
        return finding("unknown", "", f"unknown: it {where}; or read its licence and say so in supply/policy.toml")
    if metadata.version != package.version:
        return finding("unknown", "", f"unknown: {metadata.version} is in this environment: make setup")
    words = said(metadata)
    known = [rules.spdx(each) for each in words]
    if not words or None in known:
        shown = "; ".join(words) or "nothing"
        stale = f" (the review is of {review.version})" if review is not None else ""
        remedy = f"unknown: its metadata says {shown}{stale}; read it and say so in supply/policy.toml"
        return finding(shown, "metadata", remedy)
    each_one = sorted({each for each in known if each is not None})
    objections = sorted({rules.objection(each) for each in each_one} - {""})
    return finding(" AND ".join(each_one), "metadata", "; ".join(objections))


def packages(runtime: Path, development: Path, find: Find = distribution) -> tuple[Locked, ...]:
    """What is judged: the runtime lock, and what the extras add to it at the versions of the development lock.

    Raises:
        Unreadable: An extra needs what the development lock does not hold.
    """
    found = {package.name: package for package in locked.read(runtime)}
    known = {package.name: package for package in locked.read(development)}
    for name in sorted(everything(EXTRAS, find).keys() - found.keys() - {"golive"}):
        if name not in known:
            raise Unreadable(f"{development.name} does not hold {name}; write it anew: make lock, then make setup")
        found[name] = known[name]
    return tuple(found[name] for name in sorted(found))


def table(findings: Sequence[Finding]) -> str:
    """The list, one package a line: name, version, licence, source, objection."""
    wide = [max(len(getattr(each, field)) for each in findings) for field in ("name", "version", "licence")]
    lines = []
    for each in findings:
        cells = (each.name.ljust(wide[0]), each.version.ljust(wide[1]), each.licence.ljust(wide[2]), each.source)
        verdict = f"  REFUSED: {each.objection}" if each.objection else ""
        lines.append("  ".join(cells).rstrip() + verdict)
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the list. 0: every licence is allowed; 1: one is not, or is not known; 2: a file cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m supply.licences", description=__doc__)
    parser.add_argument("--lock", type=Path, default=locked.RUNTIME, help="the runtime lock file")
    parser.add_argument("--policy", type=Path, default=policy.PATH)
    chosen = parser.parse_args(arguments)
    try:
        rules = policy.read(chosen.policy)
        findings = [judge(package, rules) for package in packages(chosen.lock, locked.DEVELOPMENT)]
    except (Unreadable, PackageNotFoundError) as error:
        print(f"licences: {error}", file=sys.stderr)
        return 2
    sys.stdout.write(table(findings))
    refused = [each for each in findings if each.objection]
    for each in refused:
        print(f"refused: {each.name} {each.version}: {each.objection}", file=sys.stderr)
    print(f"{len(findings)} packages, {len(refused)} refused. Not covered: the extra local.")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
