"""Whom a call asks, in what order and after how long; on a clock of its own, with targets that do as they are told."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw

from golive.core.backoff import BackoffPolicy, RetryBudget
from golive.core.deadline import Deadline
from golive.core.errors import (
    CircuitOpen,
    ContentRefused,
    ContextTooLong,
    DeadlineExceeded,
    GoliveError,
    ModelAuthFailed,
    ModelBadRequest,
    ModelCut,
    ModelIncapable,
    ModelRateLimited,
    ModelUnavailable,
    ModelUnreachable,
)
from golive.core.messages import ImagePart, Message, TextPart, ToolSpec
from golive.models import failures
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    ModelCall,
    ModelRequest,
    Opened,
    Skipped,
    TextDelta,
)
from tests.unit.chain_kit import ASKED, GOOD, Provider, Time, World, started, text


@pytest.fixture
def world(time: Time) -> World:
    return World(time)


async def test_another_target_is_asked_at_once(world: World) -> None:
    chain = world.chain(world.target("a/m", Provider(ModelUnavailable("down"))), world.target("b/m", Provider(GOOD)))
    events = await world.ask(chain)
    assert (started(events), text(events), world.time.slept) == (["a/m", "b/m"], "hello", [])


async def test_the_last_one_is_tried_again_with_back_off(world: World) -> None:
    last = Provider(ModelUnreachable("down"), ModelUnavailable("down"), ModelUnavailable("down"), GOOD)
    chain = world.chain(world.target("a/m", Provider(ModelAuthFailed("no"))), world.target("b/m", last))
    events = await world.ask(chain)
    assert started(events) == ["a/m", "b/m", "b/m", "b/m", "b/m"]
    assert [event.attempt for event in events if isinstance(event, AttemptStarted)] == [1, 2, 3, 4, 5]
    for slept, middle in zip(world.time.slept, (1, 2, 4), strict=True):
        assert middle * 0.5 <= slept <= middle * 1.5
    told = [event.wait_s for event in events if isinstance(event, AttemptFailed)]
    assert told == [0.0, *world.time.slept]


async def test_retries_end_and_the_error_tells_every_attempt(world: World) -> None:
    down = Provider(ModelUnavailable("down"))
    with pytest.raises(ModelUnavailable) as caught:
        await world.ask(world.chain(world.target("a/m", down)))
    assert (down.asked, down.closed, len(caught.value.fields["attempts"])) == (4, 4, 4)


async def test_retry_after_is_obeyed_and_blames_nobody(world: World) -> None:
    limited = ModelRateLimited("slow down", retry_after_s=17.0)
    chain = world.chain(world.target("a/m", Provider(*[limited] * 3, GOOD)))
    assert text(await world.ask(chain)) == "hello"
    assert world.time.slept == [17.0, 17.0, 17.0]
    assert world.gates["a/m 0"].state.state == "closed"


async def test_a_timer_that_is_early_costs_no_retry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop's timer may end a millisecond before the pause does; the call waits it out, and asks then."""

    async def early(seconds: float) -> None:
        await world.time.sleep(seconds - 0.001)

    monkeypatch.setattr(asyncio, "sleep", early)
    limited = Provider(ModelRateLimited("slow down", retry_after_s=17.0), GOOD)
    assert text(await world.ask(world.chain(world.target("a/m", limited)))) == "hello"
    assert world.time.at >= 1_017.0
    assert limited.asked == 2


async def test_others_leave_a_paused_target_alone_as_long_as_another_stands_in_the_chain(world: World) -> None:
    limited, backup = Provider(ModelRateLimited("slow down", retry_after_s=17.0), GOOD), Provider(GOOD)
    chain = world.chain(world.target("a/m", limited), world.target("b/m", backup))
    await world.ask(chain)
    events = await world.ask(chain)
    assert (started(events), limited.asked) == (["b/m"], 1)
    assert next(event for event in events if isinstance(event, AttemptStarted)).skipped == (Skipped("a/m", "paused"),)
    world.time.at += 17.0
    assert started(await world.ask(chain)) == ["a/m"]


@pytest.mark.parametrize(
    ("wait_s", "deadline_s"), [(17.0, 16.0), (61.0, 300.0), (3_600.0, 86_400.0)], ids=["deadline", "minute", "hour"]
)
async def test_what_the_deadline_or_a_minute_cannot_hold_is_not_waited_for(
    world: World, wait_s: float, deadline_s: float
) -> None:
    provider = Provider(ModelRateLimited("slow down", retry_after_s=wait_s), GOOD)
    with pytest.raises(ModelRateLimited) as caught:
        await world.ask(world.chain(world.target("a/m", provider)), deadline_s=deadline_s)
    assert (world.time.slept, caught.value.fields["retry_after_s"]) == ([], wait_s)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "4s"}, 4.0),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 10.0),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "4s"}, 0.0),
        ({}, 0.0),
    ],
    ids=["requests", "tokens", "one left", "unsaid"],
)
async def test_a_limit_that_is_down_to_nothing_pauses_the_target(
    world: World, headers: dict[str, str], wait_s: float
) -> None:
    gate = world.gate("a/m")
    gate.limits_seen(headers.get)
    assert (gate.pause_s(), gate.state.state) == (wait_s, "closed")


async def test_a_limited_credential_makes_way_for_the_next(world: World) -> None:
    first, second = Provider(ModelRateLimited("slow down", retry_after_s=30.0)), Provider(GOOD)
    chain = world.chain(world.target("a/m", first, second), world.target("b/m", Provider(GOOD)))
    events = await world.ask(chain)
    assert (started(events), second.asked, world.time.slept) == (["a/m", "a/m"], 1, [])
    await world.ask(chain)
    assert (first.asked, second.asked) == (1, 2)


async def test_an_outage_is_not_tried_with_the_other_credentials(world: World) -> None:
    first, second = Provider(ModelUnavailable("down")), Provider(GOOD)
    chain = world.chain(world.target("a/m", first, second), world.target("b/m", Provider(GOOD)))
    assert started(await world.ask(chain)) == ["a/m", "b/m"]
    assert second.asked == 0


async def test_a_wrong_request_ends_it(world: World) -> None:
    backup = Provider(GOOD)
    chain = world.chain(world.target("a/m", Provider(ModelBadRequest("no"))), world.target("b/m", backup))
    with pytest.raises(ModelBadRequest):
        await world.ask(chain)
    assert (backup.asked, world.time.slept) == (0, [])


async def test_after_the_first_token_the_failure_goes_up(world: World) -> None:
    cut: list[Any] = [[Opened(), TextDelta("hel")], ModelCut("gone")]
    backup = Provider(GOOD)
    chain = world.chain(world.target("a/m", Provider(cut)), world.target("b/m", backup))
    with pytest.raises(ModelCut):
        await world.ask(chain)
    assert backup.asked == 0


async def test_an_open_breaker_sends_everybody_to_the_backup_at_once(world: World) -> None:
    down = Provider(ModelUnavailable("down"))
    chain = world.chain(world.target("a/m", down), world.target("b/m", Provider(GOOD)))
    for _ in range(5):
        assert started(await world.ask(chain)) == ["a/m", "b/m"]
    assert world.moves == [("a/m", "closed", "open")]
    events = await world.ask(chain)
    assert (started(events), down.asked, events[0].skipped) == (["b/m"], 5, (Skipped("a/m", "breaker"),))  # type: ignore[union-attr]
    down.script = [GOOD]
    world.time.at += 30.0
    for _ in range(4):
        assert started(await world.ask(chain)) == ["a/m"]
    assert [move[1:] for move in world.moves[1:]] == [("open", "half_open"), ("half_open", "closed")]


async def test_with_every_breaker_open_nobody_is_asked_and_the_time_is_told(world: World) -> None:
    world.policy = BackoffPolicy(retries=0)
    down = Provider(ModelUnavailable("down"))
    chain = world.chain(world.target("a/m", down), world.target("b/m", down))
    for _ in range(5):
        with pytest.raises(ModelUnavailable):
            await world.ask(chain)
    world.time.at += 10.0
    with pytest.raises(CircuitOpen) as caught:
        await world.ask(chain)
    assert (down.asked, caught.value.fields["retry_after_s"], caught.value.fields["sent"]) == (10, 20.0, False)
    assert "a/m, b/m" in caught.value.message


async def test_a_cut_in_the_middle_counts_against_the_provider_and_a_cancelled_call_does_not(world: World) -> None:
    cut: list[Any] = [[TextDelta("hel")], ModelCut("gone")]
    chain = world.chain(world.target("a/m", Provider(cut)))
    for _ in range(4):
        with pytest.raises(ModelCut):
            await world.ask(chain)
    stream = world.chain(world.target("a/m", Provider(GOOD)))(ASKED, CallContext(Deadline.after(world.time, 9.0, "t")))
    async for batch in stream:
        if isinstance(batch[-1], TextDelta):
            break
    await stream.aclose()
    assert world.gates["a/m 0"].state.state == "closed"
    with pytest.raises(ModelCut):
        await world.ask(chain)
    assert world.gates["a/m 0"].state.state == "open"


async def test_retries_stay_within_the_budget_of_all_calls(world: World) -> None:
    world.budget = RetryBudget(share=0.2, reserve=2.0)
    asked = 0
    for number in range(50):  # a target each, so that no breaker helps
        down = Provider(ModelUnavailable("down"))
        with pytest.raises(ModelUnavailable):
            await world.ask(world.chain(world.target(f"p{number}/m", down)))
        asked += down.asked
    assert 50 + 10 <= asked <= 50 + 12


async def test_a_deadline_ends_it(world: World) -> None:
    backup = Provider(GOOD)
    late = DeadlineExceeded(limit="limits.deadline_s", seconds=1.0)
    with pytest.raises(DeadlineExceeded):
        await world.ask(world.chain(world.target("a/m", Provider(late)), world.target("b/m", backup)))
    assert backup.asked == 0


@pytest.mark.parametrize(
    ("request_", "lacks"),
    [
        (ModelRequest(messages=ASKED.messages, tools=(ToolSpec("t", "", Raw(b"{}")),)), "tools"),
        (ModelRequest(messages=ASKED.messages, extra={"tools": Raw(b"[{}]")}), "tools"),
        (ModelRequest(messages=ASKED.messages, output_schema=Raw(b"{}")), "structured_output"),
        (ModelRequest(messages=(Message("user", (TextPart("x"), ImagePart("https://x/y.png"))),)), "images"),
    ],
    ids=["tools", "verbatim tools", "schema", "images"],
)
async def test_a_target_that_cannot_do_it_is_passed_over(world: World, request_: ModelRequest, lacks: Any) -> None:
    poor = Provider(GOOD)
    chain = world.chain(world.target("a/m", poor, **{lacks: False}), world.target("b/m", Provider(GOOD)))
    events = await world.ask(chain, request_)
    assert (started(events), poor.asked, events[0].skipped) == (["b/m"], 0, (Skipped("a/m", lacks),))  # type: ignore[union-attr]
    assert started(await world.ask(chain)) == ["a/m"]
    with pytest.raises(ModelIncapable, match=lacks.replace("_", " ")) as refused:
        await world.ask(world.chain(world.target("a/m", poor, **{lacks: False})), request_)
    assert refused.value.message.startswith("a/m ")
    assert refused.value.fields["lacking"] == (lacks,)
    assert refused.value.fields["sent"] is False
    assert f'`{lacks}` of [capabilities."a/m"]' in refused.value.remedy


async def test_each_target_of_a_chain_that_cannot_do_it_says_what_it_lacks(world: World) -> None:
    asked = ModelRequest(
        messages=(Message("user", (ImagePart("https://x/y.png"),)),), tools=(ToolSpec("t", "", Raw(b"{}")),)
    )
    chain = world.chain(
        world.target("a/m", Provider(GOOD), tools=False), world.target("b/m", Provider(GOOD), images=False)
    )
    with pytest.raises(ModelIncapable) as refused:
        await world.ask(chain, asked)
    assert refused.value.message == "a/m takes no tools; b/m takes no images. Nobody was asked."
    assert refused.value.remedy == (
        "Leave the tools or the images out of the request, or use another model. Where a model can do it after all, "
        'the server\'s operator corrects `tools` of [capabilities."a/m"] and `images` of [capabilities."b/m"] in '
        "golive.toml."
    )


async def test_too_long_a_context_goes_to_a_larger_window_or_to_targets_of_its_own(world: World) -> None:
    long = Provider(ContextTooLong("too long"))
    small, large = Provider(GOOD), Provider(GOOD)
    chain = world.chain(
        world.target("a/m", long, context_window=8_000), world.target("b/m", small, context_window=8_000),
        world.target("c/m", large, context_window=200_000),
    )  # fmt: skip
    assert started(await world.ask(chain)) == ["a/m", "c/m"]
    own = world.chain(
        world.target("a/m", long), world.target("b/m", small), context_too_long=(world.target("l/m", large),)
    )
    assert started(await world.ask(own)) == ["a/m", "l/m"]
    assert small.asked == 0


async def test_refused_content_goes_to_targets_of_its_own(world: World) -> None:
    refusing, backup, bold = Provider(ContentRefused("no")), Provider(GOOD), Provider(GOOD)
    chain = world.chain(
        world.target("a/m", refusing), world.target("b/m", backup), content_refused=(world.target("c/m", bold),)
    )
    assert (started(await world.ask(chain)), backup.asked) == (["a/m", "c/m"], 0)


async def test_a_target_that_declined_is_not_asked_again_by_another_chain(world: World) -> None:
    """Neither where it stands in both, nor where the two special chains send a call to each other; a target of theirs
    that cannot do what the request needs is passed over."""
    long, refusing = Provider(ContextTooLong("too long")), Provider(ContentRefused("no"))
    blind, large = Provider(GOOD), Provider(GOOD)
    special = (world.target("a/m", long), world.target("b/m", blind, images=False), world.target("l/m", large))
    chain = world.chain(world.target("a/m", long), context_too_long=special)
    pictures = ModelRequest(messages=(Message("user", (ImagePart("https://x/y.png"),)),))
    events = await world.ask(chain, pictures)
    assert (started(events), blind.asked) == (["a/m", "l/m"], 0)
    again = world.chain(
        world.target("a/m", long), content_refused=(world.target("l/m", Provider(ContextTooLong("too long"))),),
        context_too_long=(world.target("r/m", refusing), world.target("l/m", large)),
    )  # fmt: skip
    asked: list[Any] = []
    with pytest.raises(ContextTooLong):
        await listed(again, world, asked)
    assert started(asked) == ["a/m", "r/m", "l/m"]


async def listed(chain: ModelCall, world: World, into: list[Any]) -> None:
    """Asks, and keeps what came before the error."""
    async for batch in chain(ModelRequest(messages=()), CallContext(Deadline.after(world.time, 300.0, "test"))):
        into += batch


async def test_a_target_to_be_avoided_comes_last(world: World) -> None:
    chain = world.chain(world.target("a/m", Provider(GOOD)), world.target("b/m", Provider(GOOD)))
    events = await world.ask(chain, avoid=("a/m",), attempts=2)
    assert (started(events), events[0].attempt) == (["b/m"], 3)  # type: ignore[union-attr]


def rows_of_the_docs() -> Iterator[tuple[str, tuple[bool, ...]]]:
    page = (Path(__file__).parents[2] / "docs" / "failures.md").read_text(encoding="utf-8")
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `") and len(cells) >= 6:
            yield cells[0].strip("`"), tuple(cell == "yes" for cell in cells[1:5])


def test_the_page_about_failures_shows_the_table() -> None:
    shown = dict(rows_of_the_docs())
    assert shown == {kind.code: tuple(row) for kind, row in failures.TABLE.items() if kind is not GoliveError}
