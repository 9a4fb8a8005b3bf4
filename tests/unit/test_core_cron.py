"""When cron's fields come next, also where the clocks are changed."""

from datetime import UTC, datetime

import pytest

from golive.core.cron import BadCron, BadTimezone, Cron


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def listed(fields: str, zone: str, since: str, number: int) -> list[str]:
    cron, moment = Cron(fields, zone), at(since)
    found = []
    for _ in range(number):
        moment = cron.after(moment)
        found.append(datetime.fromtimestamp(moment, UTC).strftime("%m-%d %H:%M"))
    return found


def test_the_fields_are_those_of_the_zone() -> None:
    """Seven on a working day in Berlin is six o'clock in winter and five in summer, of UTC."""
    assert listed("0 7 * * MON-FRI", "Europe/Berlin", "2026-03-26T12:00+00:00", 3) == [
        "03-27 06:00", "03-30 05:00", "03-31 05:00",
    ]  # fmt: skip
    assert listed("*/20 9 1 * *", "UTC", "2026-01-01T09:20+00:00", 3) == ["01-01 09:40", "02-01 09:00", "02-01 09:20"]


def test_a_time_that_the_clocks_skip_comes_at_the_end_of_the_gap() -> None:
    """On 29 March 2026 Berlin has no 2:30: the run comes at 3:00, and the next day at 2:30 again."""
    assert listed("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00+00:00", 3) == [
        "03-28 01:30", "03-29 01:00", "03-30 00:30",
    ]  # fmt: skip


def test_a_time_that_the_clocks_repeat_comes_once() -> None:
    """On 25 October 2026 Berlin has 2:30 twice; from within the second of these hours the next one is tomorrow's."""
    assert listed("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00+00:00", 2) == ["10-25 00:30", "10-26 01:30"]
    cron = Cron("30 2 * * *", "Europe/Berlin")
    assert cron.after(at("2026-10-25T01:10+00:00")) == at("2026-10-26T01:30+00:00")


def test_every_quarter_of_an_hour_goes_on_through_a_repeated_hour() -> None:
    """With a `*` in the hours each real quarter counts: eight in the two hours that the clock shows as one."""
    found = listed("*/15 * * * *", "Europe/Berlin", "2026-10-24T23:59+00:00", 9)
    assert found == [f"10-25 0{hour}:{minute:02}" for hour in (0, 1) for minute in (0, 15, 30, 45)] + ["10-25 02:00"]


@pytest.mark.parametrize(
    ("fields", "since", "until", "expected"),
    [
        ("* * * * *", "2020-01-01T00:00", "2026-05-05T05:05", "2026-05-05T05:05"),
        ("0 7 * * *", "2026-05-01T07:00", "2026-05-05T06:59", "2026-05-04T07:00"),
        ("0 7 * * *", "2026-05-04T07:00", "2026-05-05T06:59", None),
        ("0 7 * * *", "2026-05-04T06:59", "2026-05-04T07:00", "2026-05-04T07:00"),
        ("0 0 29 2 *", "2020-01-01T00:00", "2027-12-31T00:00", "2024-02-29T00:00"),
    ],
)
def test_the_last_time_that_was_missed(fields: str, since: str, until: str, expected: str | None) -> None:
    """After `since`, at `until` at the latest; years of minutes are not walked through one by one."""
    found = Cron(fields).latest(at(f"{since}+00:00"), at(f"{until}+00:00"))
    assert found == (None if expected is None else at(f"{expected}+00:00"))


def test_the_last_time_within_a_repeated_hour() -> None:
    """In the second 2:10 of the night today's 2:30 has been, though the clock shows less."""
    cron = Cron("30 2 * * *", "Europe/Berlin")
    assert cron.latest(at("2026-10-24T12:00+00:00"), at("2026-10-25T01:10+00:00")) == at("2026-10-25T00:30+00:00")


@pytest.mark.parametrize(
    ("fields", "zone", "error", "words"),
    [
        ("0 7 * *", "UTC", BadCron, "it has 4 fields and not 5"),
        (
            "@reboot",
            "UTC",
            BadCron,
            "@reboot is none of @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly",
        ),
        ("0 0 7 * * *", "UTC", BadCron, "it has 6 fields"),
        ("61 7 * * *", "UTC", BadCron, "^the minute 61 is not from 0 to 59$"),
        ("0 5,25,26 * * *", "UTC", BadCron, "^the hour 25 is not from 0 to 23$"),
        ("0 7 0-3 * *", "UTC", BadCron, "^the day of the month 0-3 is not from 1 to 31, L or LW$"),
        ("0 7 * 13 *", "UTC", BadCron, "^the month 13 is not from 1 to 12 or JAN to DEC$"),
        ("0 7 * * XYZ", "UTC", BadCron, "^the day of the week XYZ is not from 0 to 7 or SUN to SAT$"),
        ("*/0 7 * * *", "UTC", BadCron, r"^the minute \*/0 has a step that is no number from 1 on$"),
        ("0 7 * * FRI-MON", "UTC", BadCron, "^the day of the week FRI-MON ends before it begins$"),
        ("0 0 31 2 *", "UTC", BadCron, "^it never comes: none of its months has such a day$"),
        ("0 0 31 4,6,9 *", "UTC", BadCron, "^it never comes: none of its months has such a day$"),
        ("0 7 * * *", "Europe/Berlyn", BadTimezone, "Europe/Berlyn"),
        ("0 7 * * *", "/etc/passwd", BadTimezone, "/etc/passwd"),
    ],
)
def test_what_is_no_time_is_refused(fields: str, zone: str, error: type[ValueError], words: str) -> None:
    """With the reason in words."""
    with pytest.raises(error, match=words):
        Cron(fields, zone)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        (" @Daily ", "0 0 * * *"),
    ],
)
def test_the_names_of_cron_stand_for_fields(name: str, fields: str) -> None:
    """In the schedule's own zone."""
    since = "2026-10-24T12:30+00:00"
    assert listed(name, "Europe/Berlin", since, 3) == listed(fields, "Europe/Berlin", since, 3)
