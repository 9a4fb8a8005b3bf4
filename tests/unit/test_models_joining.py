"""Continuations one by one: what of them is shown, to the letter."""

import pytest

from golive.models.joining import Joiner, NotJoined

HOURS = "We are open from nine to five, and on Saturdays"


def joined(text: str, *pieces: str, trusted: bool) -> str | None:
    """The whole text; None where it is not joined."""
    joiner, shown = Joiner(text, trusted=trusted), text
    try:
        for piece in pieces:
            shown += joiner.feed(piece)
        return shown + joiner.end()
    except NotJoined:
        return None


@pytest.mark.parametrize(
    ("text", "continuation", "whole"),
    [
        (HOURS, ", and on Saturdays from ten.", "We are open from nine to five, and on Saturdays from ten."),
        ("Hello", "Hello world", "Hello world"),
        ("It is very", " very good.", "It is very very good."),
        ("A long misunderstanding", "understanding comes", "A long misunderstandingunderstanding comes"),
        ("From nine to five, on Mondays from nine ", "to five", "From nine to five, on Mondays from nine to five"),
        ("Call us.\n\n", "\n", "Call us.\n\n"),
        ("Call us.\n\n", "\nOr write.", "Call us.\n\nOr write."),
        ("Call us.", "", "Call us."),
    ],
    ids=["comma", "short text", "the text's own", "half a word", "short end", "a blank", "half a blank", "nothing"],
)  # fmt: skip
def test_a_trusted_continuation(text: str, continuation: str, whole: str) -> None:
    """Only what repeats the end from a word's beginning, or a short text whole, is left out; in pieces or not."""
    assert joined(text, continuation, trusted=True) == whole
    assert joined(text, *continuation, trusted=True) == whole


@pytest.mark.parametrize("said", ["", "and on", "and on Saturdays"])
def test_one_that_was_asked_for_and_ends_before_it_repeated_the_end_is_not_joined(said: str) -> None:
    """It is too little to tell that it goes on."""
    assert joined(HOURS, *said, trusted=False) is None
