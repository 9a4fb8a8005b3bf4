"""Of two attempts under way at once: which one answers."""

from golive.core.errors import ModelUnavailable
from golive.models.call import AttemptFailed, AttemptStarted
from golive.models.under_way import UnderWay


def left(attempt: int, target: str) -> AttemptFailed:
    return AttemptFailed(attempt, target, ModelUnavailable("down"), 1.0)


def test_the_one_that_was_not_given_up_answers() -> None:
    under_way = UnderWay()
    seen = [(under_way.attempt, under_way.target)]
    for event in (AttemptStarted(1, "a/m"), AttemptStarted(11, "b/m"), left(11, "b/m"), left(1, "a/m")):
        (under_way.started if isinstance(event, AttemptStarted) else under_way.moved_on)(event)  # type: ignore[arg-type]
        seen.append((under_way.attempt, under_way.target))
    assert seen == [(1, ""), (1, "a/m"), (11, "b/m"), (1, "a/m"), (1, "a/m")]


def test_attempts_before_a_break_answer_no_more() -> None:
    under_way = UnderWay()
    under_way.started(AttemptStarted(1, "a/m"))
    under_way.clear()
    assert (under_way.attempt, under_way.target) == (1, "a/m")
    under_way.started(AttemptStarted(2, "b/m"))
    under_way.moved_on(left(2, "b/m"))
    assert (under_way.attempt, under_way.target) == (2, "b/m")
