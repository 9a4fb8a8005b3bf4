"""What a check answers: Pass, Fail, Warn or Unknown, each with what was measured and the evidence for it."""

import hashlib
from typing import ClassVar, Literal

from msgspec import Struct

from golive.guards.redact import without_credentials

Status = Literal["pass", "fail", "warn", "unknown", "error", "not_run"]
"""`error`: the check itself raised, which is no pass. `not_run`: an earlier phase stopped the check."""
Severity = Literal["blocker", "major", "minor"]

TTL_S = 86_400.0
"""How long evidence stands, seconds, unless the check says otherwise; older evidence proves nothing."""
EXCERPT_CHARS = 1_200
"""Most characters of an answer that a report repeats; the hash covers all of it."""


class Evidence(Struct, frozen=True):
    """One thing that was done, and what came back.

    `did`: a command or request in a form that a person can repeat, credentials as variables. `got`: an excerpt of at
    most `EXCERPT_CHARS`. `sha256`: of the whole artifact, in hex. `at`: seconds since the epoch; stale after `ttl_s`.
    """

    did: str
    got: str
    sha256: str
    at: float
    ttl_s: float = TTL_S


def evidence(did: str, artifact: bytes | str, at: float, *, shown: str | None = None) -> Evidence:
    """Evidence over an artifact; `shown` is what to print of it where its beginning says too little."""
    data = artifact.encode("utf-8", "replace") if isinstance(artifact, str) else artifact
    text = data.decode("utf-8", "replace") if shown is None else shown
    return Evidence(did, excerpt(without_credentials(text)), hashlib.sha256(data).hexdigest(), at)


def excerpt(text: str, limit: int = EXCERPT_CHARS) -> str:
    """The text, or its beginning and its end where it is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail - 3]} … {text[-tail:]}"


class Outcome(Struct, frozen=True, kw_only=True):
    """What all four answers hold. `measured` and `threshold` carry their units; `why` says it in words."""

    status: ClassVar[Status]
    measured: str = ""
    threshold: str = ""
    why: str = ""
    evidence: tuple[Evidence, ...] = ()


class Pass(Outcome, frozen=True, kw_only=True):
    """The situation was provoked, and the promise held."""

    status = "pass"


class Fail(Outcome, frozen=True, kw_only=True):
    """The situation was provoked, and the promise did not hold."""

    status = "fail"


class Warn(Outcome, frozen=True, kw_only=True):
    """It held, but shortened, or with something a person must look at."""

    status = "warn"


class Unknown(Outcome, frozen=True, kw_only=True):
    """It could not be provoked here; `why` says what is missing."""

    status = "unknown"


Result = Pass | Fail | Warn | Unknown


class Finding(Struct):
    """What a check has found so far; ends as one of the four answers."""

    threshold: str = ""
    measured: str = ""
    evidence: list[Evidence] = []

    def saw(self, evidence: Evidence) -> None:
        """Adds evidence."""
        self.evidence.append(evidence)

    def passed(self, why: str = "") -> Pass:
        return Pass(measured=self.measured, threshold=self.threshold, why=why, evidence=tuple(self.evidence))

    def failed(self, why: str) -> Fail:
        return Fail(measured=self.measured, threshold=self.threshold, why=why, evidence=tuple(self.evidence))

    def warned(self, why: str) -> Warn:
        return Warn(measured=self.measured, threshold=self.threshold, why=why, evidence=tuple(self.evidence))

    def unknown(self, why: str) -> Unknown:
        return Unknown(measured=self.measured, threshold=self.threshold, why=why, evidence=tuple(self.evidence))
