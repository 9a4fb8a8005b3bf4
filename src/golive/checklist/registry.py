"""The register of checks: what each proves, what it needs, how grave its failure is.

A check is an async function from a target to a result, registered by a decorator. Golive's own are in `checks/`; others
come in through the entry-point group `golive.checks`, whose modules register themselves on import.
"""

import importlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Literal, get_args

from msgspec import Struct

from golive.checklist.results import Result, Severity
from golive.checklist.rows import ROWS
from golive.core.errors import ConfigError

if TYPE_CHECKING:
    from golive.checklist.target import Target

Need = Literal["inject", "process", "clock", "simulator", "store", "golive", "agent"]
NEEDS: dict[str, str] = {
    "inject": "a provider whose faults can be scripted (a twin)",
    "process": "the server's own process and log (a twin)",
    "clock": "the server's clock (a twin)",
    "simulator": "the simulated provider's bill and request log (a twin)",
    "store": "the server's database files (a twin)",
    "golive": "golive's own API (the target speaks chat completions alone)",
    "agent": "an agent (the target serves none)",
}
"""What a check may need, in words for a report that says why it could not run."""

Where = Literal["target", "fast", "dying", "effecting", "own"]
WHERE: dict[str, str] = {
    "target": "the target itself",
    "fast": "the twin in which time goes faster",
    "dying": "the twin in which tools die",
    "effecting": "the twin whose tools enter their effects into a file",
    "own": "a twin, or twins, that the check makes for itself",
}
"""What a check provokes. Those of one place are carried out one after the other, beside those of another; what a check
asks of the target besides is reading."""

PHASES: tuple[str, ...] = ("security", "serving", "resilience", "cost", "releases", "observability", "load")
"""In this order, each building on the one before; a failed blocker of the first stops the rest."""

TIMEOUT_S = 60.0
GROUP = "golive.checks"
CHECKS = "golive.checklist.checks"

CheckFunction = Callable[["Target"], Awaitable[Result]]


class Check(Struct, frozen=True, kw_only=True):
    """One registered check. `where`: see `WHERE`. `timeout_s`: longest run, seconds; beyond it, it is an error."""

    id: str
    row: str
    title: str
    needs: frozenset[str]
    severity: Severity
    phase: str
    remediation: str
    references: tuple[str, ...]
    where: Where
    timeout_s: float
    function: CheckFunction


class Registry:
    """Checks by id, in the order of phases, then of rows, then of `OWN`, then of registration."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def __len__(self) -> int:
        return len(self._checks)

    def __iter__(self) -> Iterator[Check]:
        rows = list(ROWS)

        def place(check: Check) -> tuple[int, int, int]:
            return PHASES.index(check.phase), rows.index(check.row), _room(check.function)

        return iter(sorted(self._checks.values(), key=place))

    def check(
        self,
        id: str,  # noqa: A002
        *,
        row: str,
        title: str,
        phase: str,
        severity: Severity,
        remediation: str,
        needs: Iterable[Need] = (),
        references: Iterable[str] = (),
        where: Where = "target",
        timeout_s: float = TIMEOUT_S,
    ) -> Callable[[CheckFunction], CheckFunction]:
        """Registers the decorated function.

        Raises:
            ValueError: the id is taken or does not begin with its row; row, phase, severity, need or place does not
                exist.
        """
        wanted = frozenset(needs)
        if row not in ROWS or not id.startswith(f"{row}.") or id == f"{row}.":
            raise ValueError(f"check {id!r}: its id must begin with a known row and a dot, not with {row!r}")
        if phase not in PHASES:
            raise ValueError(f"check {id!r}: phase {phase!r} is none of {', '.join(PHASES)}")
        if severity not in get_args(Severity):
            raise ValueError(f"check {id!r}: severity {severity!r} is none of {', '.join(get_args(Severity))}")
        if strange := wanted - NEEDS.keys():
            raise ValueError(f"check {id!r}: needs {sorted(strange)}, which no target offers")

        if where not in WHERE:
            raise ValueError(f"check {id!r}: {where!r} is none of {', '.join(WHERE)}")

        def register(function: CheckFunction) -> CheckFunction:
            if id in self._checks:
                raise ValueError(f"check {id!r} is registered twice")
            self._checks[id] = Check(
                id=id,
                row=row,
                title=title,
                needs=wanted,
                severity=severity,
                phase=phase,
                remediation=remediation,
                references=tuple(references),
                where=where,
                timeout_s=timeout_s,
                function=function,
            )
            return function

        return register

    def select(self, only: Iterable[str]) -> list[Check]:
        """The checks whose id begins with one of the prefixes; all of them for none.

        Raises:
            ConfigError: a prefix fits no check.
        """
        prefixes = list(only)
        for prefix in prefixes:
            if not any(_fits(check.id, prefix) for check in self):
                raise ConfigError(
                    f"no check's id begins with {prefix!r}.",
                    remedy="`golive check --list` shows all ids.",
                    key="--only",
                    value=prefix,
                )
        return [check for check in self if not prefixes or any(_fits(check.id, prefix) for prefix in prefixes)]


def _room(function: CheckFunction) -> int:
    """Where its module stands in `OWN`, after all of them for others': whoever imported one early changes no order."""
    package, _, name = function.__module__.rpartition(".")
    return OWN.index(name) if package == CHECKS and name in OWN else len(OWN)


def _fits(check_id: str, prefix: str) -> bool:
    """Whether the prefix ends where a part of the id ends: GW-1 means GW-1.resume, and not GW-10.health."""
    if not check_id.upper().startswith(prefix.upper()):
        return False
    following = check_id[len(prefix) : len(prefix) + 1]
    return not (following.isdigit() and prefix[-1:].isdigit())


REGISTRY = Registry()
check = REGISTRY.check

OWN = (
    "degrading",
    "access",
    "audit",
    "breaks",
    "crashes",
    "credentials",
    "crossing",
    "edge",
    "endings",
    "erasing",
    "health",
    "jobs",
    "keys",
    "leaks",
    "limits",
    "logins",
    "models",
    "outages",
    "pricing",
    "proxies",
    "replicas",
    "restoring",
    "resume",
    "scan",
    "sealing",
    "secrets",
    "streaming",
    "suspending",
    "tables",
    "takeovers",
    "tenant_keys",
    "tiering",
    "tokens",
    "tools_out",
    "transport",
    "unknown",
    "versions",
    "workers",
)
"""Modules of `checks/`."""


def load(found: Iterable[EntryPoint] | None = None) -> Registry:
    """The register with golive's own checks and those that installed packages bring.

    Args:
        found: entry points to load; by default those of the group `golive.checks`.

    Raises:
        ConfigError: a package's checks cannot be loaded; names the package.
    """
    for name in OWN:
        importlib.import_module(f"{CHECKS}.{name}")
    for point in entry_points(group=GROUP) if found is None else found:
        try:
            point.load()
        except Exception as error:
            package = point.dist.name if point.dist is not None else point.value
            raise ConfigError(
                f"the checks {point.name!r} of {package} cannot be loaded: {type(error).__name__}: {error}.",
                remedy=f"Correct or uninstall {package}.",
                key=GROUP,
                value=point.value,
            ) from error
    return REGISTRY
