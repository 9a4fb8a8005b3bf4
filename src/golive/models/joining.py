"""Joins a continuation to a text that broke off: what it repeats is left out, what does not continue it is not joined.

A continuation is compared with the text in a form without case and with single blanks, since models repeat words in
their own spelling; what was shown first stands. Pure: knows no models.

Two kinds are told apart by how far they are trusted. A *trusted* one was written by a target that goes on where the
text stops: it is joined unless it is seen to begin again and say something else. One that was merely *asked for* must
first repeat the end of the text (`anchor`), and is joined only if it does.
"""

from typing import NamedTuple

ANCHOR_CHARS = 32
"""Least length of the end that is to be repeated; a word that begins before is taken whole."""
MIN_TEXT_CHARS = 12
"""A shorter text is not continued on request: its end says too little."""
MIN_OVERLAP_CHARS = 10
"""A repetition of less, by a trusted target, is taken for the text's own ("very, very")."""
AGAIN_CHARS = 24
"""So much of the text said again, and then something else, is another answer and no continuation."""


class NotJoined(Exception):
    """The continuation does not continue the text."""


class _Plain(NamedTuple):
    """A text without case, and with single blanks; `ends[i]` is where in the original its i-th character ends."""

    text: str
    ends: list[int]


def anchor(text: str) -> str:
    """The end of the text that a continuation is asked to repeat, from the beginning of a word."""
    start = len(text) - min(len(text), ANCHOR_CHARS)
    while start > 0 and not text[start - 1].isspace():
        start -= 1
    return text[start:]


class Joiner:
    """Takes a continuation in pieces, and gives what of it may be shown."""

    def __init__(self, text: str, *, trusted: bool) -> None:
        self._text = text
        self._before = _plain(text)
        self._trusted = trusted
        self._blank = text[len(text.rstrip()) :]
        """The blanks at the text's end, until it is known whether the continuation says them again."""
        self._held = ""
        self._joined = False
        self._least = MIN_OVERLAP_CHARS if trusted else len(_plain(anchor(text)).text.strip())

    def feed(self, piece: str) -> str:
        """What may be shown now: "" as long as it is not clear how much is repeated.

        Raises:
            NotJoined: it does not continue the text.
        """
        if self._joined and not self._blank:
            return piece
        self._held += piece
        return self._after_blank() if self._joined else self._decide(last=False)

    def end(self) -> str:
        """What is left when the continuation is over.

        Raises:
            NotJoined: as above.
        """
        return "" if self._joined else self._decide(last=True)

    def _decide(self, *, last: bool) -> str:
        said = _plain(self._held.lstrip())
        before = self._before.text.rstrip()
        if not last and said.text in before:  # more of it may repeat the end
            return ""
        cut = self._repeated(before, said.text)
        if cut is None:
            if not self._trusted or self._begins_again(before, said.text):
                raise NotJoined
        else:
            lead = len(self._held) - len(self._held.lstrip())
            self._held = self._held[lead + said.ends[cut - 1] :]
        self._joined = True
        return self._after_blank()

    def _repeated(self, before: str, said: str) -> int | None:
        """How many characters of `said` repeat the end of `before`, the most there are; None: too few to tell."""
        for length in range(min(len(before), len(said)), 0, -1):
            start = len(before) - length
            if length < self._least and length < len(before):
                return None
            at_word = start == 0 or not before[start - 1].isalnum() or not before[start].isalnum()
            if at_word and said.startswith(before[start:]):
                return length
        return None

    def _begins_again(self, before: str, said: str) -> bool:
        return len(said) >= AGAIN_CHARS and said[:AGAIN_CHARS] in before

    def _after_blank(self) -> str:
        """What is held, the blank between text and continuation standing once, whoever wrote it."""
        blank, held = self._blank, self._held
        if blank.startswith(held):
            return ""
        self._blank = self._held = ""
        return held[len(blank) :] if held.startswith(blank) else held.lstrip()


def _plain(text: str) -> _Plain:
    out: list[str] = []
    ends: list[int] = []
    for place, character in enumerate(text, start=1):
        if character.isspace():
            if out and out[-1] == " ":
                ends[-1] = place
                continue
            out.append(" ")
        else:
            lower = character.lower()
            out.append(lower if len(lower) == 1 else character)
        ends.append(place)
    return _Plain("".join(out), ends)
