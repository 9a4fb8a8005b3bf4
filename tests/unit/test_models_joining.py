"""Continuations one by one: what of them is shown, to the letter."""

import pytest

from golive.models.joining import Joiner, NotJoined, anchor

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
        (HOURS, ", and on Saturdays from ten.", f"{HOURS}, and on Saturdays from ten."),
        ("Hello", "Hello world", "HelloHello world"),
        ("It is very", " very good.", "It is very very good."),
        ("A long misunderstanding", "understanding comes", "A long misunderstandingunderstanding comes"),
        ("From nine to five, on Mondays from nine ", "to five", "From nine to five, on Mondays from nine to five"),
        ("Call us.\n\n", "\n", "Call us.\n\n"),
        ("Call us.\n\n", "\nOr write.", "Call us.\n\nOr write."),
        ("Call us.\n\n", " Or write.", "Call us.\n\nOr write."),
        ("Call us. ", "\n\nOr write.", "Call us. \n\nOr write."),
        ("Call us. ", " \n", "Call us. \n"),
        ("Call us.\n", "  ", "Call us.\n"),
        ("- one\n  ", "\n    - two", "- one\n    - two"),
        ("Call us.", "\n", "Call us.\n"),
        ("Call us.", "", "Call us."),
    ],
    ids=[
        "comma", "short text", "the text's own", "half a word", "short end", "a blank", "half a blank", "another blank",
        "a line that ends", "more blanks", "a blank for a line", "more of an indent", "no blank", "nothing",
    ],
)  # fmt: skip
def test_a_trusted_continuation(text: str, continuation: str, whole: str) -> None:
    """It stands as it comes, save for the blanks between, which both may say; in pieces or not."""
    assert joined(text, continuation, trusted=True) == whole
    assert joined(text, *continuation, trusted=True) == whole


def test_the_end_that_is_asked_for() -> None:
    """From a word's beginning where there are words; of a short text all; of too short a one nothing."""
    assert anchor(HOURS) == "from nine to five, and on Saturdays"
    assert anchor(f"{HOURS}.\n") == "nine to five, and on Saturdays.\n"
    assert anchor("We are open ") == ""
    assert anchor("We are closed") == "We are closed"
    assert anchor("".join(map(chr, range(0x4E00, 0x4E80)))) == "".join(map(chr, range(0x4E60, 0x4E80)))


@pytest.mark.parametrize("said", ["", "and on", "and on Saturdays"])
def test_one_that_was_asked_for_and_ends_before_it_repeated_the_end_is_not_joined(said: str) -> None:
    """It is too little to tell that it goes on."""
    assert joined(HOURS, *said, trusted=False) is None
