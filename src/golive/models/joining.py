"""Joins a continuation to a text that broke off. Pure: knows no models. Nothing that may be the text's own is left out.

Texts say things twice: tables, lists, code, poems. What a continuation says again may be the text going on, and to
leave that out would be a loss that nobody sees. So two kinds are told apart by how far they are trusted.

A *trusted* one was written by a target that goes on where the text stops. It stands as it comes, whatever it says
again. It is refused, and nothing of it left out, only where it cannot be anything but another beginning of the answer:
the text stops at a letter or digit, in mid-line, with the answer's first `BEGINNING_CHARS` following on it with nothing
between, and has not come back to its own beginning before. A target that begins anew where less is known is taken at
its word: a text that is seen to be doubled is a smaller harm than one that lacks a part and is called whole.

One that was merely *asked for* in words must first repeat the end of the text (`anchor`), which is left out, and is
joined only if it does. What is asked for stands once in the text, and does not begin as it ends: else nobody could tell
how much of a text that goes round in circles was repeated for us and how much is new. Where there is no such end
nothing is asked for: another answer, or a part that says it is one, is a smaller harm. The end is found in a form
without case and with single blanks, since models repeat words in their own spelling; what was shown first stands.
"""

from typing import NamedTuple

ANCHOR_CHARS = 32
"""Least length of the end that is to be repeated; a word that begins before is taken whole."""
MAX_ANCHOR_CHARS = 240
"""More is not asked to be repeated: it would cost time, and models err."""
MAX_WORD_CHARS = 24
"""A word that is longer, as where a script has no blanks, is not taken whole."""
MIN_TEXT_CHARS = 12
"""A shorter text is not continued on request: its end says too little."""
BEGINNING_CHARS = 40
"""So much of the answer's beginning, to the letter, where nothing can begin, is another answer."""
RETURN_CHARS = 16
"""A text in which so much of its beginning stands once more may come back to it again."""


class NotJoined(Exception):
    """The continuation does not continue the text."""


class _Plain(NamedTuple):
    """A text without case, and with single blanks; `ends[i]` is where in the original its i-th character ends."""

    text: str
    ends: list[int]


def anchor(text: str) -> str:
    """The end of the text that a continuation is asked to repeat, from the beginning of a word; "": there is none."""
    whole = _plain(text).text.strip()
    if len(whole) < MIN_TEXT_CHARS:
        return ""
    start = len(text)
    while start > 0 and len(text) - start < MAX_ANCHOR_CHARS:
        start = _word(text, max(0, min(len(text) - ANCHOR_CHARS, start - 1)))
        end = _plain(text[start:]).text.strip()
        if whole.find(end) == len(whole) - len(end) and not _goes_round(end):
            return text[start:]
    return ""


class Joiner:
    """Takes a continuation in pieces, and gives what of it may be shown."""

    def __init__(self, text: str, *, trusted: bool) -> None:
        self._trusted = trusted
        self._before = "" if trusted else _plain(text).text.rstrip()
        self._mark = _beginning(text) if trusted else _plain(anchor(text)).text.strip()
        """What a trusted continuation must not begin with ("": it may begin with anything); any other must."""
        self._blank = text[len(text.rstrip()) :]
        """The blanks at the text's end, until it is known whether the continuation says them again."""
        self._held = ""
        self._joined = False

    def feed(self, piece: str) -> str:
        """What may be shown now: "" as long as it is not clear how much is repeated.

        Raises:
            NotJoined: it does not continue the text.
        """
        if self._joined and not self._blank:
            return piece
        self._held += piece
        return self._decided(last=False)

    def end(self) -> str:
        """What is left when the continuation is over.

        Raises:
            NotJoined: as above.
        """
        return self._decided(last=True)

    def _decided(self, *, last: bool) -> str:
        if not self._joined:
            self._joined = self._goes_on(last=last) if self._trusted else self._repeats(last=last)
        return self._after_blank(last=last) if self._joined else ""

    def _goes_on(self, *, last: bool) -> bool:
        """Whether it is clear that the answer is not begun anew."""
        if not self._mark:
            return True
        if self._held.startswith(self._mark):
            raise NotJoined
        return last or not self._mark.startswith(self._held)

    def _repeats(self, *, last: bool) -> bool:
        """Whether it is clear how much of the text's end was repeated, which is then left out of what is held."""
        said = _plain(self._held.lstrip())
        if not last and said.text in self._before:  # more of it may repeat the end
            return False
        length = self._repeated(said.text)
        if length is None:
            raise NotJoined
        lead = len(self._held) - len(self._held.lstrip())
        self._held = self._held[lead + said.ends[length - 1] :]
        return True

    def _repeated(self, said: str) -> int | None:
        """How many characters of `said` repeat the end of the text; None: not as many as were asked for.

        There is one such number at most, since the mark stands in the text once.
        """
        least = len(self._mark)
        for length in range(min(len(self._before), len(said)), least - 1 if least else 0, -1):
            if said.startswith(self._before[len(self._before) - length :]):
                return length if least else None
        return None

    def _after_blank(self, *, last: bool) -> str:
        """What is held, the blank between text and continuation standing once, whoever wrote it.

        Where the two wrote different ones, the text's stands, unless a line would not end that the continuation ends.
        """
        blank, held = self._blank, self._held
        if not last and (blank.startswith(held) or (held.isspace() and not held.startswith(blank))):
            return ""
        self._blank = self._held = ""
        if held.startswith(blank):
            return held[len(blank) :]
        rest = held.lstrip()
        lead = held[: len(held) - len(rest)]
        return held if lead.count("\n") > blank.count("\n") else rest


def _beginning(text: str) -> str:
    """What shows that a continuation of the text begins anew; "": nothing would.

    Not where a line or sentence has ended, since there a text may say again what it began with.
    """
    said = text.strip()
    beginning = said[:BEGINNING_CHARS]
    ended = not said[-1:].isalnum() or "\n" in text[len(text.rstrip()) :]
    if ended or len(beginning) < BEGINNING_CHARS or said.find(beginning[:RETURN_CHARS], 1) >= 0:
        return ""
    return beginning


def _word(text: str, at: int) -> int:
    """Where the word begins that holds the character at `at`; `at` where it is too long to be one."""
    start = at
    while start > 0 and not text[start - 1].isspace():
        start -= 1
        if at - start > MAX_WORD_CHARS:
            return at
    return start


def _goes_round(text: str) -> bool:
    """Whether the text begins as it ends: whoever repeats its end alone, and goes on, may then have said all of it."""
    return any(text.startswith(text[at:]) for at in range(1, len(text) - 1))


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
