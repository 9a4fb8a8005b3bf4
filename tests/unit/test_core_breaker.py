"""The breaker's law, and the arithmetic of trying again."""

from hypothesis import given
from hypothesis import strategies as st

from golive.core.backoff import BackoffPolicy, RetryBudget
from golive.core.breaker import Breaker, BreakerPolicy, Ticket
from golive.core.chance import SeededChance

POLICY = BreakerPolicy(failures=5, open_s=30.0, successes=3)


def admitted(breaker: Breaker, now: float) -> Ticket:
    ticket = breaker.admit(now)
    assert ticket is not None
    return ticket


def opened(now: float = 100.0) -> Breaker:
    breaker = Breaker(POLICY)
    for _ in range(5):
        breaker.failed(admitted(breaker, now), now)
    return breaker


def test_it_opens_after_five_failures_in_a_row_and_not_before() -> None:
    breaker = Breaker(POLICY)
    for _ in range(4):
        breaker.failed(admitted(breaker, 0.0), 0.0)
    breaker.succeeded(admitted(breaker, 0.0))
    for _ in range(4):
        breaker.failed(admitted(breaker, 1.0), 1.0)
    assert breaker.state == "closed"
    breaker.failed(admitted(breaker, 2.0), 2.0)
    assert (breaker.state, breaker.opened, breaker.admit(31.9), breaker.wait_s(12.0)) == ("open", 1, None, 20.0)


def test_attempts_that_say_nothing_change_nothing() -> None:
    breaker = Breaker(POLICY)
    for _ in range(4):
        breaker.failed(admitted(breaker, 0.0), 0.0)
    breaker.given_up(admitted(breaker, 0.0))
    breaker.failed(admitted(breaker, 0.0), 0.0)
    assert breaker.state == "open"


def test_half_open_lets_one_probe_through_at_a_time_and_closes_after_three_successes() -> None:
    breaker = opened()
    for passed in range(3):
        probe = admitted(breaker, 130.0)
        assert probe.probe
        assert (breaker.state, breaker.admit(130.0)) == ("half_open", None), f"a second one beside probe {passed}"
        breaker.succeeded(probe)
    assert breaker.state == "closed"
    assert not admitted(breaker, 131.0).probe


def test_a_failed_probe_opens_it_for_the_whole_time_again() -> None:
    breaker = opened()
    breaker.succeeded(admitted(breaker, 130.0))
    breaker.failed(admitted(breaker, 131.0), 132.0)
    assert (breaker.state, breaker.opened) == ("open", 2)
    assert breaker.admit(161.9) is None
    assert admitted(breaker, 162.0).probe


def test_each_state_counts_from_nothing() -> None:
    """Closed again it takes as many failures as ever to open, and after a failed probe as many successes to close."""
    breaker = opened()
    breaker.succeeded(admitted(breaker, 130.0))
    breaker.succeeded(admitted(breaker, 131.0))
    breaker.failed(admitted(breaker, 132.0), 132.0)
    for _ in range(2):
        breaker.succeeded(admitted(breaker, 162.0))
    assert breaker.state == "half_open"
    breaker.succeeded(admitted(breaker, 162.0))
    for _ in range(4):
        breaker.failed(admitted(breaker, 163.0), 163.0)
    assert breaker.state == "closed"


def test_a_probe_that_is_given_up_makes_room_for_the_next() -> None:
    breaker = opened()
    breaker.given_up(admitted(breaker, 130.0))
    assert admitted(breaker, 130.0).probe


def test_what_was_admitted_under_another_state_does_not_count() -> None:
    breaker = Breaker(POLICY)
    slow = admitted(breaker, 0.0)
    for _ in range(5):
        breaker.failed(admitted(breaker, 1.0), 1.0)
    probe = admitted(breaker, 31.0)
    breaker.succeeded(slow)
    breaker.failed(slow, 32.0)
    assert (breaker.state, breaker.admit(32.0)) == ("half_open", None), "the probe is still the only one"
    for _ in range(3):
        breaker.succeeded(probe)
        probe = admitted(breaker, 33.0)
    assert breaker.state == "closed"


@given(st.lists(st.tuples(st.sampled_from(["ask", "good", "bad", "none"]), st.floats(0, 40)), max_size=200))
def test_whatever_happens_it_is_never_stuck(moves: list[tuple[str, float]]) -> None:
    breaker, now, held = Breaker(POLICY), 0.0, []
    for move, passes_s in moves:
        now += passes_s
        if move == "ask":
            before = breaker.state
            ticket = breaker.admit(now)
            assert ticket is not None or before != "closed"
            if ticket is not None:
                held.append(ticket)
        elif held:
            ticket = held.pop(0)
            if move == "bad":
                breaker.failed(ticket, now)
            else:
                (breaker.succeeded if move == "good" else breaker.given_up)(ticket)
    while held:
        breaker.given_up(held.pop())
    assert breaker.admit(now + 30.0) is not None


def test_waits_double_up_to_a_minute_and_vary_by_half() -> None:
    chance, policy = SeededChance(7), BackoffPolicy()
    for retry, middle in enumerate((1, 2, 4, 8, 16, 32, 60, 60), start=1):
        waits = [policy.wait_s(retry, chance) for _ in range(200)]
        assert middle * 0.5 <= min(waits) < middle * 0.6
        assert middle * 1.4 < max(waits) <= middle * 1.5
    assert policy.wait_s(5_000, chance) <= 90.0


def test_retries_stay_a_share_of_the_traffic() -> None:
    budget = RetryBudget(share=0.2, reserve=10.0)
    assert [budget.take() for _ in range(12)].count(True) == 10, "the reserve"
    taken = 0
    for _ in range(1_000):
        budget.called()
        taken += budget.take()
    assert 199 <= taken <= 201


def test_a_quiet_hour_saves_up_no_more_than_the_reserve() -> None:
    budget = RetryBudget(share=0.2, reserve=3.0)
    for _ in range(10_000):
        budget.called()
    assert [budget.take() for _ in range(5)] == [True, True, True, False, False]
