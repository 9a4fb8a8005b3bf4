"""When to come back: what a run's end keeps of an error's time, and the header that is made of it."""

from typing import Any

import msgspec
import pytest

from golive.core.errors import CircuitOpen, GoliveError, ModelBadRequest, ModelRateLimited, ModelUnavailable
from golive.core.events import RunFinished, encode_body
from golive.core.messages import Usage
from golive.gateway.problems import headers_of, retry_headers
from golive.runtime.api import RunResult
from golive.runtime.state import RunState
from golive.runtime.step import after_error


def result(reason: str | None, after: float | None = None) -> RunResult:
    return RunResult(
        run="run_1", agent="a", version="v", version_name="1", conversation=None, state="finished", outcome="failed",
        reason=reason, message="", text="", output=None, usage=Usage(), cost_microusd=0, priced=True, estimated=False,
        steps=1, tool_calls=0, created_at=1.0, started_at=1.0, finished_at=2.0, metadata={}, retry_after_s=after,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (ModelRateLimited("busy", retry_after_s=7), 7.0),
        (CircuitOpen("open", retry_after_s=0.4), 0.4),
        (ModelUnavailable("out"), None),
        (ModelUnavailable("out", retry_after_s=0.0), None),
        (ModelUnavailable("out", retry_after_s=-3.0), None),
        (ModelUnavailable("out", retry_after_s=float("nan")), None),
        (ModelUnavailable("out", retry_after_s=float("inf")), None),
        (ModelUnavailable("out", retry_after_s="soon"), None),
        (ModelBadRequest("no", retry_after_s=7), None),
    ],
)
def test_a_run_keeps_the_time_of_an_error_that_passes(error: GoliveError, kept: float | None) -> None:
    """A time that is none is not kept, nor one of an error that no retry helps."""
    assert after_error(error, RunState("t", "run_1", "v"), 30.0).retry_after_s == kept


@pytest.mark.parametrize(
    ("reason", "after", "header"),
    [
        ("model.circuit_open", 12.1, b"13"),
        ("model.rate_limited", 0.2, b"1"),
        ("model.unavailable", None, b"1"),
        ("model.unavailable", 86_400.0, b"1"),
        ("interrupted", None, b"1"),
        ("model.bad_request", 7.0, None),
        ("cancelled", None, None),
        ("internal", None, None),
        (None, None, None),
    ],
)
def test_a_run_without_an_answer_has_the_header_where_a_new_one_may_do_better(
    reason: str | None, after: float | None, header: bytes | None
) -> None:
    """Whole seconds, rounded up; 1 where nobody said; none where the same would come of it."""
    assert retry_headers(result(reason, after)) == ([] if header is None else [(b"retry-after", header)])


@pytest.mark.parametrize("after", [None, 0.3, 7, 86_399.5, 1e9, float("nan"), "soon"])
def test_an_error_and_a_run_say_the_same(after: Any) -> None:
    """One rule makes the header of a refused call and of a failed run."""
    assert headers_of(CircuitOpen("open", retry_after_s=after)) == retry_headers(result("model.circuit_open", after))


def test_the_end_of_an_older_journal_is_read() -> None:
    """A run that ended before there was a time has none, and one without a time is written as before."""
    old = b'{"outcome":"failed","reason":"model.unavailable"}'
    assert msgspec.json.decode(old, type=RunFinished).retry_after_s is None
    assert encode_body(RunFinished("failed", "model.unavailable")) == old
