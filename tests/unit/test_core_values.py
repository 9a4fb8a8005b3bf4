"""core/: ids, money, chance, clock, messages and errors, each by value."""

import inspect
from decimal import Decimal

import pytest

from golive.core import errors
from golive.core.chance import SeededChance, SystemChance
from golive.core.clock import SystemClock
from golive.core.ids import Ids
from golive.core.messages import ImagePart, Message, TextPart, Usage
from golive.core.money import microusd, usd_text


class _At:
    """A clock that stands where it is put."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


def test_ids_have_one_shape() -> None:
    """An id is its prefix and 26 characters of Crockford's alphabet, the first ten of which are the milliseconds."""
    made = Ids(_At(0.001), SeededChance(1)).new("run")
    assert len(made) == len("run_") + 26
    assert made.startswith("run_000000000")
    assert set(made.removeprefix("run_")) <= set("0123456789abcdefghjkmnpqrstvwxyz")


def test_ids_are_unique_within_a_millisecond() -> None:
    """A hundred thousand ids of one millisecond are all different."""
    ids = Ids(_At(), SystemChance())
    assert len({ids.new("run") for _ in range(100_000)}) == 100_000


def test_ids_repeat_with_their_seed() -> None:
    """The same clock and seed make the same ids: a simulated world can be replayed."""
    first, second, other = (Ids(_At(), SeededChance(seed)).new("x") for seed in (7, 7, 8))
    assert first == second != other


@pytest.mark.parametrize(
    ("usd", "expected"),
    [("0", 0), ("1", 1_000_000), ("0.0000001", 1), ("0.000001", 1), ("0.0000010001", 2), ("12.3456789", 12_345_679)],
)
def test_money_is_rounded_up(usd: str, expected: int) -> None:
    """Any part of a micro-dollar counts as a whole one."""
    assert microusd(Decimal(usd)) == expected


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "$0.00"),
        (1, "$0.000001"),
        (1_234, "$0.001234"),
        (100_000, "$0.10"),
        (1_000_000, "$1.00"),
        (1_230_000, "$1.23"),
        (-1_500_000, "-$1.50"),
    ],
)
def test_money_as_text(amount: int, text: str) -> None:
    """At least two decimals, at most six, and the sign in front."""
    assert usd_text(amount) == text


def test_seeded_chance_repeats_and_stays_in_range() -> None:
    """The same seed draws the same numbers; a uniform draw stays within its bounds."""
    first, second = SeededChance(3), SeededChance(3)
    assert first.token(16) == second.token(16)
    assert first.uniform(1, 2) == second.uniform(1, 2)
    assert all(5 <= SystemChance().uniform(5, 6) < 6 for _ in range(100))
    assert len(SystemChance().token(12)) == 12


def test_the_systems_monotonic_clock_never_goes_back() -> None:
    """Readings one after the other do not fall."""
    clock = SystemClock()
    readings = [clock.monotonic() for _ in range(1_000)]
    assert readings == sorted(readings)


def test_text_of_a_message() -> None:
    """Parts are joined by newlines, pictures left out."""
    parts = (TextPart("a"), ImagePart("https://example.org/x.png"), TextPart("b"))
    assert Message("user", parts).text() == "a\nb"
    assert Message("user", "plain").text() == "plain"


def test_usage_adds_up() -> None:
    """Each kind of token is added to its own kind."""
    assert Usage(1, 2, 3, 4) + Usage(10, 20, 30, 40) == Usage(11, 22, 33, 44)


def _tree() -> list[type[errors.GoliveError]]:
    """Every error but the root, whose code is that of an internal error."""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return [kind for kind in kinds if issubclass(kind, errors.GoliveError) and kind is not errors.GoliveError]


def test_error_codes_are_unique_and_stable_in_shape() -> None:
    """No two errors share a code, so a program that matches on one never meets the other."""
    codes = [kind.code for kind in _tree()]
    assert len(set(codes)) == len(codes)
    assert all(code == code.lower() and " " not in code for code in codes)


def test_an_error_says_what_and_what_next() -> None:
    """Its text is the message and the remedy; its fields are kept for programs."""
    error = errors.NotFound("No agent 'x'.", remedy="Run `golive agents`.", agent="x")
    assert (str(error), error.fields) == ("No agent 'x'. Run `golive agents`.", {"agent": "x"})
    assert str(errors.StoreError("It failed.")) == "It failed."
    assert errors.ModelUnavailable("down", status=503).status == 503
    assert errors.ModelUnreachable("down").status is None
