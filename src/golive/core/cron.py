"""When something that comes again and again comes next: cron's five fields, in a time zone.

Source: Debian's cron(8) for what a change of the clocks means, as `cronsim` reads it: a time of day that is skipped
comes at the end of the gap, one that is repeated comes once; where minute or hour is a `*` every real minute counts.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError

_FIELDS = 5
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
        self._fields = fields
        if (found := len(fields.split())) != _FIELDS:
            raise BadCron(f"it has {found} field{'' if found == 1 else 's'} and not {_FIELDS}")
        try:
            self.after(0.0)
        except CronSimError as error:
            raise BadCron(str(error)[:1].lower() + str(error)[1:]) from None
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


@cache
def timezones() -> frozenset[str]:
    """The zones that this machine knows."""
    return frozenset(available_timezones())
