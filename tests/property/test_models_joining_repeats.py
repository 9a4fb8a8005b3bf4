"""Texts that say things twice, cut anywhere: a continuation never loses what is the text's own."""

import random

import pytest

from golive.models.joining import ANCHOR_CHARS, BEGINNING_CHARS, Joiner, NotJoined, anchor

ROW = "| 0 | 0 | 0 |\n"
CODE = "for row in rows:\n    total += row\n    total += row\n\n"
VERSE = "Row, row, row your boat\ngently down the stream\nmerrily, merrily, merrily, merrily\nlife is but a dream\n\n"
SENTENCE = "Your order left Ghent on Monday; it is with the carrier now, and the receipt for it is in your mail. "
TEXTS = {
    "one character": "a" * 90,
    "one blank": "no" + " " * 60 + "yes",
    "two": "ab" * 60,
    "words": "very " * 30 + "good",
    "laughter": "Ha ha ha! " * 12,
    "a table": "| a | b | c |\n|---|---|---|\n" + ROW * 9,
    "a list": "- yes\n- no\n" * 10,
    "nested": "- a\n  - a\n    - a\n  - a\n- a\n" * 4,
    "code": CODE * 4,
    "a poem": VERSE * 3,
    "a sentence": SENTENCE * 3 + "That was all, thank you.",
    "two sentences": "We open at nine. We close at five. " * 6,
    "its own end": "The end. " + SENTENCE + "The end. The end. The end.",
    "paragraphs": ("Dear customer,\n\nthank you for your patience.\n\n" * 4).strip(),
    "emoji": "👍🏽👍🏽👩‍👩‍👧 " * 14,
    "flags": "🇧🇪🇨🇭" * 20,
    "accents": "né né né straße STRASSE İİ ǅ " * 6,
    "without blanks": "東京は今日も晴れ。" * 10,
    "numbers": "3.14, 3.14, 3.14; " * 9,
    "bytes": "00 00 FF FF\r\n" * 10,
}
"""Everything here may be said again, and at every place."""


def continued(chance: random.Random, text: str, continuation: str, *, trusted: bool) -> str | None:
    """The text with the continuation joined to it in pieces as a provider sends them; None: not joined."""
    joiner, shown, at = Joiner(text, trusted=trusted), text, 0
    most = chance.choice((1, 3, 9, 60, 1000))
    try:
        while at < len(continuation):
            size = chance.randint(1, most)
            shown += joiner.feed(continuation[at : at + size])
            at += size
        return shown + joiner.end()
    except NotJoined:
        return None


@pytest.mark.parametrize("name", TEXTS)
def test_what_follows_on_a_prefill_is_the_text_to_the_letter_at_every_cut(name: str) -> None:
    """The target is given the text without the blanks at its end, and says them again."""
    whole, chance = TEXTS[name], random.Random(name)
    for cut in range(1, len(whole) + 1):
        shown = whole[:cut]
        for _ in range(4):
            assert continued(chance, shown, whole[len(shown.rstrip()) :], trusted=True) == whole, (cut, shown)


def test_and_so_are_texts_of_repetitions_by_the_thousand() -> None:
    """Parts in any number and order, each said again and again; few letters, so that everything recurs."""
    chance = random.Random(7)
    for case in range(3000):
        letters = chance.choice(("a", "ab", "ab ", "ab \n", "a. ", "é🙂 ", "東。"))
        parts = ["".join(chance.choices(letters, k=chance.randint(1, 12))) for _ in range(chance.randint(1, 4))]
        whole = "".join(chance.choice(parts) * chance.randint(1, 6) for _ in range(chance.randint(1, 12)))
        shown = whole[: chance.randint(1, len(whole))]
        joined = continued(chance, shown, whole[len(shown.rstrip()) :], trusted=True)
        assert joined == whole, (case, shown, whole)


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_asked_for_in_words_is_the_text_to_the_letter_or_is_not_asked_for(name: str) -> None:
    """Whether it repeats as much as it was asked to, or the whole text."""
    whole, chance = TEXTS[name], random.Random(name)
    for cut in range(1, len(whole) + 1):
        shown = whole[:cut]
        repeated = anchor(shown)
        if not repeated:
            assert continued(chance, shown, whole, trusted=False) is None
            continue
        for start in (len(shown) - len(repeated), 0):
            assert continued(chance, shown, whole[start:], trusted=False) == whole, (cut, start, shown)


@pytest.mark.parametrize("name", TEXTS)
def test_the_end_that_is_asked_for_stands_once_in_the_text(name: str) -> None:
    for cut in range(1, len(TEXTS[name]) + 1):
        shown = TEXTS[name][:cut].strip()
        end = anchor(shown)
        assert not end or shown.endswith(end)
        assert not end or shown.find(end) == len(shown) - len(end), (cut, end)
        assert not end or end == shown or len(end) >= ANCHOR_CHARS


def test_some_texts_that_repeat_themselves_can_still_be_continued_in_words() -> None:
    """A longer end is asked for, from before the repetitions; where there is no before, none."""
    assert anchor(SENTENCE * 2) == anchor(SENTENCE * 3) == ""
    assert anchor(f"{SENTENCE}The end. {SENTENCE}").startswith("end. Your order left")
    assert anchor(TEXTS["a table"][:80]).startswith("|---|---|---|")
    assert anchor("very " * 20) == ""


LONG = "We are open from nine to five on weekdays, and on Saturdays from ten to two"


@pytest.mark.parametrize(
    ("shown", "joined"),
    [
        (LONG, False),
        (LONG[:62], False),
        (f"{LONG} ", False),
        (f"{LONG}.", True),
        (f"{LONG},", True),
        (f"{LONG}\n", True),
        (f"{LONG} - {LONG}", True),
        (LONG[:BEGINNING_CHARS], False),
        (LONG[: BEGINNING_CHARS - 1], True),
    ],
    ids=["mid-sentence", "mid-word", "blank", "sentence", "comma", "line", "came back", "just enough", "too short"],
)
def test_only_what_can_be_no_continuation_is_taken_for_another_beginning(shown: str, joined: bool) -> None:
    """And then it is refused: nothing is left out of it. What can be one stands whole, doubled as it may look."""
    chance = random.Random(shown)
    for _ in range(20):
        came = continued(chance, shown, f"{LONG}, and never on Sundays.", trusted=True)
        assert came == (f"{shown}{LONG}, and never on Sundays." if joined else None)
    for lead in (" ", "\n\n"):
        blank = shown[len(shown.rstrip()) :]
        kept = lead[len(blank) :] if lead.startswith(blank) else lead.strip(" ")
        assert continued(chance, shown, lead + LONG, trusted=True) == shown + kept + LONG
