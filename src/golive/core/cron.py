"""When something that comes again and again comes next: cron's five fields, in a time zone.

Source: Debian's cron(8) for what a change of the clocks means, as `cronsim` reads it: a time of day that is skipped
comes at the end of the gap, one that is repeated comes once; where minute or hour is a `*` every real minute counts.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

_FIELDS = (
    ("minute", "from 0 to 59"),
    ("hour", "from 0 to 23"),
    ("day of the month", "from 1 to 31, L or LW"),
    ("month", "from 1 to 12 or JAN to DEC"),
    ("day of the week", "from 0 to 7 or SUN to SAT"),
)
"""Each with what may stand in it."""
NAMES = {
    "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}  # fmt: skip
"""What may stand in the place of all fields, as in crontab(5); there is no `@reboot`, which is no time."""
_LOOK_BACK_S = (3_600.0, 21_600.0, 172_800.0, 3_456_000.0, 34_560_000.0, 345_600_000.0)
"""How far `latest` looks back for the last time there was, step by step: an hour … eleven years."""


class BadTimezone(ValueError):
    """This machine knows no zone of that name."""


class BadCron(ValueError):
    """The fields cannot be read, or name no time that ever comes; the text says which."""


class Cron:
    """Points in time; wall time, in seconds since the epoch, whole ones."""

    def __init__(self, fields: str, timezone: str = "UTC") -> None:
        """Reads both.

        Raises:
            BadTimezone, BadCron
        """
        try:
            self._zone: tzinfo = UTC if timezone == "UTC" else ZoneInfo(timezone)  # the one that needs no database
        except (OSError, ValueError, LookupError):  # unknown, a folder, an absolute path, an empty text
            raise BadTimezone(timezone) from None
        name = fields.strip().lower()
        if name.startswith("@") and name not in NAMES:
            raise BadCron(f"{name} is none of {', '.join(NAMES)}")
        self._fields = NAMES.get(name, fields)
        if (found := len(self._fields.split())) != len(_FIELDS):
            raise BadCron(f"it has {found} field{'' if found == 1 else 's'} and not {len(_FIELDS)}")
        try:
            self.after(0.0)
        except CronSimError:
            raise BadCron(_fault(self._fields)) from None
        except StopIteration:
            raise BadCron("no day of the calendar fits") from None

    def after(self, at: float) -> float:
        """The first time after `at`."""
        return next(self._from(at))

    def latest(self, since: float, until: float) -> float | None:
        """The last time in (since, until]; None: there is none."""
        for back_s in _LOOK_BACK_S:
            begin = max(since, until - back_s)
            found: float | None = None
            for moment in self._from(begin):
                if moment > until:
                    break
                found = moment
            if found is not None or begin == since:
                return found
        return None

    def _from(self, at: float) -> Iterator[float]:
        """All times after `at`. In an hour that a clock repeats, cronsim begins with one that has been."""
        for moment in CronSim(self._fields, datetime.fromtimestamp(at, self._zone)):
            found = moment.timestamp()
            if found > at:
                yield found


def _fault(fields: str) -> str:
    """Why cronsim does not take them, in words; it names the field alone."""
    for place, (text, (what, allowed)) in enumerate(zip(fields.upper().split(), _FIELDS, strict=True)):
        for term in text.split(","):
            if not _taken(place, term):
                return f"the {what} {term} {_fault_of_term(place, term, allowed)}"
    return "it never comes: none of its months has such a day"


def _fault_of_term(place: int, term: str, allowed: str) -> str:
    values, slash, step = term.partition("/")
    if slash and not (step.isdecimal() and int(step)):
        return "has a step that is no number from 1 on"
    ends = values.split("-")
    if len(ends) == 2 and all(_taken(place, end) for end in ends):
        return "ends before it begins"
    return f"is not {allowed}"


def _taken(place: int, term: str) -> bool:
    alone = ["*"] * len(_FIELDS)
    alone[place] = term or "-"
    try:
        CronSim(" ".join(alone), datetime.fromtimestamp(0, UTC))
    except CronSimError:
        return False
    return True


@cache
def timezones() -> frozenset[str]:
    """The zones that this machine knows."""
    return frozenset(available_timezones())
