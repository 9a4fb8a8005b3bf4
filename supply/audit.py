"""`make audit`: known vulnerabilities of everything that is locked. What cannot be audited is Unknown, never a pass.

pip-audit asks a vulnerability service about every package of every lock file. An answer alone is not believed: the
service is asked about `KNOWN_BAD` too, and one that knows nothing of that is no witness. Advisories of a file
(`--advisories`) count besides; with `--instead` the file stands in for the service, if it is whole and new.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from packaging.version import Version

from supply import advisories, locked, policy
from supply.advisories import Advisory
from supply.locked import Unreadable

PASS, VULNERABLE, UNUSABLE, UNKNOWN = 0, 1, 2, 3
KNOWN_BAD = ("django", "1.11")
"""A package and version with many published vulnerabilities, in no lock file."""

NEWEST_DAYS = 7
"""A file in the place of the service must have a record that was changed within so many days."""

TIMEOUT_S = 900

Pin = tuple[str, str]


class Unanswered(Exception):
    """The service did not answer, or not so that it can be believed; the text says why."""


@dataclass(frozen=True)
class Answer:
    """What a source says.

    Attributes:
        found: Advisories that speak of a pin.
        silent: Pins it can say nothing about, and why.
    """

    found: Sequence[Advisory]
    silent: Mapping[Pin, str]


def ask(files: Mapping[str, Iterable[Pin]], extra: Sequence[str] = ()) -> Answer:
    """What the vulnerability service knows of these pins (by lock file), through pip-audit.

    Args:
        extra: Further arguments of pip-audit: which service, and where.

    Raises:
        Unanswered: It cannot be reached, or knows nothing of `KNOWN_BAD`.
    """
    with tempfile.TemporaryDirectory() as folder:
        named = {**files, "known-bad": [KNOWN_BAD]}
        command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--format", "json"]
        command += ["--progress-spinner", "off", "--cache-dir", f"{folder}/cache", *extra]
        for name, pins in named.items():
            path = Path(folder) / f"{name}.txt"
            path.write_text("".join(f"{package}=={version}\n" for package, version in pins))
            command += ["--requirement", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        except subprocess.TimeoutExpired:
            raise Unanswered(f"no answer within {TIMEOUT_S} s") from None
    try:
        said = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (done.stderr.strip().splitlines() or [f"pip-audit ended with {done.returncode} and said nothing"])[-1]
        raise Unanswered(last[:300]) from None
    return _answer(said, {pin for pins in named.values() for pin in pins})


def _answer(said: Sequence[Mapping[str, Any]], asked: set[Pin]) -> Answer:
    found: list[Advisory] = []
    skipped: dict[str, str] = {}
    heard: set[tuple[str, Version]] = set()
    for each in said:
        if "skip_reason" in each:
            skipped[each["name"]] = each["skip_reason"]
            continue
        heard.add((each["name"], Version(each["version"])))
        found += [
            Advisory((v["id"], *v.get("aliases", ())), each["name"], each["version"], tuple(v.get("fix_versions", ())))
            for v in each["vulns"]
        ]
    if not any((each.package, each.version) == KNOWN_BAD for each in found):
        raise Unanswered(f"the service knows of no vulnerability in {KNOWN_BAD[0]} {KNOWN_BAD[1]}, which has many")
    unheard = [pin for pin in asked if (pin[0], Version(pin[1])) not in heard]
    silent = {pin: skipped.get(pin[0], "it was not answered about") for pin in unheard}
    return Answer([each for each in found if (each.package, each.version) != KNOWN_BAD], silent)


def in_place(book: advisories.Book, now: datetime) -> None:
    """A file may stand in for the service if it is new and knows of `KNOWN_BAD`.

    Raises:
        Unanswered: It may not.
    """
    if book.newest is None or now - book.newest > timedelta(days=NEWEST_DAYS):
        shown = "no record" if book.newest is None else f"its newest record is of {book.newest:%Y-%m-%d}"
        raise Unanswered(f"the file of advisories is too old to stand in for the service: {shown}")
    if not book.about(*KNOWN_BAD):
        raise Unanswered(f"the file of advisories is not whole: it says nothing of {' '.join(KNOWN_BAD)}")


def accepted(advisory: Advisory, rules: policy.Policy, today: date) -> str:
    """Why an advisory does not count today; empty where it does."""
    for name in advisory.names:
        entry = rules.accepted.get(name)
        if entry is not None and entry.package == advisory.package and today <= entry.until:
            return f"accepted until {entry.until}: {entry.because}"
    return ""


def verdict(answers: Sequence[Answer], unanswered: str, rules: policy.Policy, today: date) -> tuple[int, list[str]]:
    """The exit code, and the lines that say why; a vulnerability outweighs what is unknown."""
    lines: list[str] = []
    counted = 0
    unique = {(each.names[0], each.package, each.version): each for answer in answers for each in answer.found}
    for key in sorted(unique):
        each = unique[key]
        why = accepted(each, rules, today)
        counted += not why
        mended = f"; mended in {', '.join(each.fixed)}" if each.fixed else ""
        lines.append(f"{each.package} {each.version}: {' = '.join(each.names)}{mended}{f' ({why})' if why else ''}")
    silent = {pin: why for answer in answers for pin, why in answer.silent.items()}
    lines += [f"{name} {version}: not audited: {why}" for (name, version), why in sorted(silent.items())]
    if unanswered:
        lines.append(f"not audited: {unanswered}")
    if counted:
        return VULNERABLE, [*lines, f"VULNERABLE: {counted} known; upgrade with make lock UPGRADE=1"]
    if silent or unanswered:
        remedy = "repeat it where the service can be reached, or give its export (docs/security/supply-chain.md)"
        return UNKNOWN, [*lines, f"UNKNOWN: not everything was audited, which is no pass; {remedy}"]
    return PASS, [*lines, "PASS: no known vulnerability that counts"]


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m supply.audit", description=__doc__)
    parser.add_argument("--lock", type=Path, action="append", help="a lock file (default: all four)")
    parser.add_argument("--advisories", type=Path, help="a file, folder or zip of OSV records that count besides")
    parser.add_argument("--instead", action="store_true", help="the advisories are whole: do not ask the service")
    parser.add_argument("--policy", type=Path, default=policy.PATH)
    parser.add_argument("--service", choices=("pypi", "osv", "esms"), default="osv")
    parser.add_argument("--osv-url", help="another address that answers as OSV does, such as a mirror")
    chosen = parser.parse_args(arguments)
    if chosen.instead and chosen.advisories is None:
        parser.error("--instead needs --advisories")
    return chosen


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit. 0: nothing known; 1: vulnerable; 2: a file cannot be read; 3: unknown, in whole or in part."""
    chosen = _arguments(arguments)
    now = datetime.now(UTC)
    answers: list[Answer] = []
    unanswered = ""
    try:
        rules = policy.read(chosen.policy)
        pins = {path.name: [(p.name, p.version) for p in locked.read(path)] for path in chosen.lock or locked.ALL}
        everything = sorted({pin for each in pins.values() for pin in each})
        try:
            if chosen.advisories is not None:
                book = advisories.read(chosen.advisories)
                answers.append(Answer([found for pin in everything for found in book.about(*pin)], {}))
            if chosen.instead:
                in_place(book, now)
            else:
                service = ["--vulnerability-service", chosen.service]
                service += ["--osv-url", chosen.osv_url] if chosen.osv_url else []
                answers.append(ask(pins, service))
        except Unanswered as reason:
            unanswered = str(reason)
    except Unreadable as error:
        print(f"audit: {error}", file=sys.stderr)
        return UNUSABLE
    code, lines = verdict(answers, unanswered, rules, now.date())
    print(f"{len(everything)} packages of {', '.join(pins)}")
    print("\n".join(lines), file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
