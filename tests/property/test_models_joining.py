"""Continuations of every kind, by the thousand: joined without a character lost or repeated, or not joined at all."""

import random

import pytest

from golive.models.joining import Joiner, NotJoined, anchor

TEXT = (
    "the shop order was sent on monday from our store in ghent and will arrive very very soon unless customs holds it "
    "back for a check we are sorry né straße 東京 42 3.50 e-mail ok no yes if you like I can call them for you today"
)
WORDS = TEXT.split()
CASES = 10_000


def words(chance: random.Random, least: int, most: int) -> str:
    said = [
        chance.choice(WORDS) + chance.choice(("", "", "", "", ",", ".", "!", ";"))
        for _ in range(chance.randint(least, most))
    ]
    return chance.choice(("", "", "\n")).join(word + chance.choice((" ", " ", " ", "\n\n")) for word in said).strip()


def other_case(text: str, chance: random.Random) -> str:
    """The same words in another spelling: case, blanks."""
    spelt = chance.choice((str.upper, str.lower, str.title, str.swapcase))(text)
    # ß has no capital of one letter: such a spelling is another text
    spelt = spelt if len(spelt) == len(text) else text
    return spelt.replace(" ", chance.choice((" ", "  ", "\n", "\t "))) if chance.random() < 0.6 else spelt


def said(chance: random.Random, text: str, continuation: str, *, trusted: bool) -> str | None:
    """The text with the continuation joined to it in pieces of any size; None where it is not joined."""
    joiner, shown, at = Joiner(text, trusted=trusted), text, 0
    try:
        while at < len(continuation):
            size = chance.choice((1, 2, 3, 5, 8, 40))
            shown += joiner.feed(continuation[at : at + size])
            at += size
        return shown + joiner.end()
    except NotJoined:
        return None


def cut(chance: random.Random, *, between_words: bool) -> tuple[str, str]:
    """An answer, cut in two; the first half long enough to be continued."""
    whole = words(chance, 14, 60)
    while True:
        at = chance.randint(14, len(whole) - 1)
        if len(anchor(whole[:at]).strip()) < 12:
            continue
        if not between_words or whole[at - 1].isspace() or whole[at].isspace():
            return whole[:at], whole[at:]


@pytest.mark.parametrize("kind", ["restart", "anchor", "respelt"])
def test_a_continuation_that_was_asked_for_is_joined_where_it_repeats_the_end(kind: str) -> None:
    chance = random.Random(kind)
    for case in range(CASES // 5):
        text, rest = cut(chance, between_words=kind == "respelt")
        repeated = {"restart": text, "anchor": anchor(text), "respelt": other_case(anchor(text), chance)}[kind]
        joined = said(chance, text, repeated + rest, trusted=False)
        assert joined is not None, (case, text, rest)
        assert joined.split() == (text + rest).split(), (case, text, rest)
        if kind != "respelt":
            assert joined == text + rest, (case, text, rest)


@pytest.mark.parametrize("kind", ["diverge", "plain", "begins again"])
def test_a_continuation_that_does_not_repeat_the_end_is_never_joined(kind: str) -> None:
    """Also one that would fit: nobody can tell it from one that does not."""
    chance = random.Random(kind)
    for case in range(CASES // 5):
        text, rest = cut(chance, between_words=False)
        other = {
            "diverge": "Zebra " + words(chance, 3, 40), "plain": "quite " + rest,
            "begins again": text[: len(text) // 2] + "zebra " + words(chance, 3, 30),
        }[kind]  # fmt: skip
        assert said(chance, text, other, trusted=False) is None, (case, text, other)


@pytest.mark.parametrize("kind", ["exact", "overlap", "other words"])
def test_a_trusted_continuation_is_joined_as_it_comes(kind: str) -> None:
    """Whatever it says again: nobody can tell that from what the text says twice."""
    chance = random.Random(kind)
    for case in range(CASES // 5):
        text, rest = cut(chance, between_words=False)
        text = text.rstrip()
        lead = {"exact": "", "overlap": text[-chance.randint(10, 60) :], "other words": words(chance, 3, 30)}[kind]
        if text.startswith(lead[:20]) and lead:
            continue
        assert said(chance, text, lead + rest, trusted=True) == text + lead + rest, (case, text, lead)


@pytest.mark.parametrize("rest", ["as it was", "other words"])
def test_a_trusted_target_that_begins_anew_in_mid_sentence_is_not_joined(rest: str) -> None:
    """It is refused as a whole, nothing of it is left out."""
    chance = random.Random(rest)
    refused = 0
    for case in range(CASES // 5):
        text, after = cut(chance, between_words=False)
        if len(text) < 60 or not text[-1].isalnum() or text.count(text[:16]) > 1:
            continue
        refused += 1
        other = text + after if rest == "as it was" else text[:40] + "zebra " + words(chance, 3, 30)
        assert said(chance, text, other, trusted=True) is None, (case, text, other)
    assert refused > CASES // 20


@pytest.mark.parametrize("blank", [" ", "\n\n", "  "])
def test_a_blank_between_the_two_stands_once(blank: str) -> None:
    chance = random.Random(blank)
    text = "We are open from nine to five, every day but" + blank
    for continuation in ("Sunday.", blank + "Sunday."):
        assert said(chance, text, continuation, trusted=True) == text + "Sunday.", continuation
    for repeated in (anchor(text), text, text.strip() + " "):
        assert said(chance, text, repeated + "Sunday.", trusted=False) == text + "Sunday.", repeated
