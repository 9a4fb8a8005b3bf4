"""Answers that say things twice and break off: nothing of them is lost, whoever carries them on."""

from typing import Any

import pytest

from golive.core.errors import ModelCut
from golive.models.joining import anchor
from tests.unit.chain_kit import Provider, Time, World, seen
from tests.unit.recovery_kit import CUT, recovering, retracted, says, told

SENTENCE = "Your order left Ghent on Monday; it is with the carrier now, and the receipt for it is in your mail. "
VERSE = "Row, row, row your boat\ngently down the stream\nmerrily, merrily, merrily, merrily\n\n"
ROWS = "| 0 | 0 | 0 |\n" * 6
LONG = "We are open from nine to five on weekdays, and on Saturdays from ten to two"


@pytest.fixture
def world(time: Time) -> World:
    return World(time, retries=0)


@pytest.mark.parametrize("said_before", [False, True], ids=["a break", "a server that ended"])
@pytest.mark.parametrize(
    "whole", [SENTENCE * 2, VERSE * 2, ROWS, "\n\n- a\n- a\n"], ids=["say", "poem", "table", "list"]
)
async def test_an_answer_is_whole_to_the_letter_wherever_it_broke_off(
    time: Time, whole: str, said_before: bool
) -> None:
    for cut in range(1, len(whole)):
        world, shown = World(time, retries=0), whole[:cut]
        backup = Provider(says(whole[len(shown.rstrip()) :]))
        call = recovering(world, Provider(says(shown, CUT)), backup, prefill=(1,))
        events = await world.ask(call, said=shown if said_before else "")
        assert (shown if said_before else "") + seen(events) == whole
        assert backup.asked == 1


async def test_blanks_alone_are_gone_on_with_by_asking_again(world: World) -> None:
    """Vendors refuse a prefill of nothing."""
    backup = Provider(says("\n\nHello"))
    call = recovering(world, Provider(says("\n", CUT)), backup, prefill=(1,))
    assert seen(await world.ask(call)) == "\n\nHello"
    assert [message.role for message in backup.requests[0].messages] == ["user"]


@pytest.mark.parametrize(("retracts", "resets"), [("all", [0]), ("tools", None), ("nothing", None)])
async def test_a_prefill_that_is_not_heeded_is_thrown_away_and_never_cut_to_fit(
    world: World, retracts: Any, resets: list[int] | None
) -> None:
    """A reader that can take back gets another answer, any other what was shown, which is no whole one."""
    whole = f"{LONG}, and never on Sundays."
    backup = Provider(says(whole), says(whole))
    call = recovering(world, Provider(says(LONG, CUT)), backup, prefill=(1,))
    events, error = await told(world, call, retracts=retracts)
    if resets is None:
        assert (type(error), seen(events), retracted(events)) == (ModelCut, LONG, [])
    else:
        assert (error, seen(events), retracted(events)) == (None, whole, resets)


@pytest.mark.parametrize(("retracts", "resets"), [("all", [0]), ("nothing", None)])
async def test_a_text_that_goes_round_is_not_gone_on_with_in_words(
    world: World, retracts: Any, resets: list[int] | None
) -> None:
    """Nobody could tell what of it was repeated on request: it is begun anew, or ends as the part that it is."""
    shown, whole = SENTENCE * 2, SENTENCE * 4
    assert anchor(shown) == ""
    backup = Provider(says(whole))
    events, error = await told(
        world, recovering(world, Provider(says(shown, CUT)), backup, instructed=True), retracts=retracts
    )
    if resets is None:
        assert (type(error), seen(events), backup.asked) == (ModelCut, shown, 0)
    else:
        assert (error, seen(events), retracted(events)) == (None, whole, resets)


async def test_a_longer_end_is_asked_for_where_a_short_one_stands_twice(world: World) -> None:
    shown = f"{SENTENCE}The end. {SENTENCE}"
    backup = Provider(says(anchor(shown) + SENTENCE))
    call = recovering(world, Provider(says(shown, CUT)), backup, instructed=True)
    assert seen(await world.ask(call)) == shown + SENTENCE
    assert "\nend. Your order left" in backup.requests[0].messages[-1].text()
