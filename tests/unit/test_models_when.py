"""When a call that a whole chain failed may be sent again: the soonest that any of its targets may be asked."""

from typing import Any

import pytest

from golive.core.backoff import BackoffPolicy
from golive.core.errors import GoliveError, ModelAuthFailed, ModelRateLimited, ModelUnavailable
from golive.gateway.problems import headers_of
from golive.runtime.model_failure import failed_attempt
from golive.runtime.state import RunState
from golive.runtime.step import after_error
from tests.unit.chain_kit import Provider, Time, World


def limited(after_s: float) -> Provider:
    return Provider(ModelRateLimited("slow down", retry_after_s=after_s))


def down(**fields: Any) -> Provider:
    return Provider(ModelUnavailable("down", **fields))


SPENT = Provider(ModelRateLimited("quota", retry_after_s=60.0, quota_exhausted=True))


async def failure(time: Time, *targets: tuple[Provider, ...], calls: int = 1) -> GoliveError:
    """The last one's of so many calls, none of which is tried again."""
    world = World(time)
    world.policy = BackoffPolicy(retries=0)
    chain = world.chain(*[world.target(f"{'abc'[at]}/m", *lanes) for at, lanes in enumerate(targets)])
    error: GoliveError | None = None
    for _ in range(calls):
        with pytest.raises(GoliveError) as caught:
            await world.ask(chain)
        error = caught.value
    assert error is not None
    return error


@pytest.mark.parametrize(
    ("targets", "soonest_s", "header"),
    [
        (((limited(5.0),), (limited(60.0),)), 5.0, b"5"),
        (((limited(60.0),), (limited(5.0),)), 5.0, b"5"),
        (((limited(5.0), limited(40.0)), (limited(60.0),)), 5.0, b"5"),
        (((limited(5.0),), (limited(60.0),), (limited(0.4),)), 0.4, b"1"),
        (((limited(5.0),), (SPENT,)), 5.0, b"5"),
        (((limited(5.0),), (down(retry_after_s=60.0),)), 5.0, b"5"),
        (((down(),), (limited(60.0),)), None, b"1"),
        (((limited(60.0),), (down(),)), None, b"1"),
        (((Provider(ModelAuthFailed("no")),), (limited(60.0),)), 60.0, b"60"),
        (((limited(7_200.0),),), 7_200.0, b"7200"),
    ],
    ids=["sooner first", "sooner last", "credentials", "three", "quota", "out", "one may be", "last may be", "refused",
         "as the only one said"],
)  # fmt: skip
async def test_the_soonest_counts(time: Time, targets: Any, soonest_s: float | None, header: bytes) -> None:
    """On the header that a client gets, and in the run of an agent; where one may be asked at once, nobody waits."""
    error = await failure(time, *targets)
    assert error.fields.get("retry_after_s") == soonest_s
    assert headers_of(error) == [(b"retry-after", header)]
    assert after_error(error, RunState("t", "run_1", "v"), 30.0).retry_after_s == soonest_s


async def test_a_breaker_that_has_just_opened_is_told_of_as_well(time: Time) -> None:
    """The failure that opens it says when the target is asked again, as the next call would."""
    error = await failure(time, (down(),), calls=5)
    assert (error.fields["breaker"], error.fields["retry_after_s"]) == ("opened", 30.0)


async def test_the_journal_says_of_an_attempt_what_its_own_provider_did(time: Time) -> None:
    error = await failure(time, (limited(5.0),), (limited(60.0),))
    failed: Any = failed_attempt(1, 2, "b/m", error, None)[0]
    assert failed.retry_after_s == 60.0
