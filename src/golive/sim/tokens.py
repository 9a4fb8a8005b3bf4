"""The simulator's own tokenizer and generated words.

The rule is deliberately not golive's: letters in pieces of at most seven with the space before them, digits by threes,
each other sign on its own. Golive's estimate is judged against it, so the two must never share code.
"""

import re

from golive.core.chance import Chance

_PIECE = re.compile(r" ?[^\W\d_]{1,7}| ?\d{1,3}|\s+|.", re.DOTALL)

_PROSE = (
    "parcel order depot courier label invoice refund credit voucher basket cotton linen copper walnut ceramic "
    "kettle lantern blanket garden window morning evening autumn winter spring summer market harbor river island "
    "meadow orchard bakery library station bridge avenue corner gallery theatre studio signal compass anchor "
    "ladder hammer pencil journal ledger margin column figure pattern thread ribbon button pocket saddle bottle "
    "candle mirror carpet cushion curtain drawer shelf handle hinge wheel engine rocket planet comet crystal "
    "pebble boulder canyon valley summit glacier lagoon breeze thunder drizzle shadow amber violet scarlet indigo "
    "silver golden quiet gentle steady simple bright narrow hollow humble nimble modest honest eager mellow rapid "
    "solid clever brisk early later nearby always seldom often almost rather during within beyond beneath around "
    "toward against among carries follows gathers returns arrives departs settles "
)
WORDS = tuple(" " + word for word in _PROSE.split())
_MASK = 127
assert len(WORDS) > _MASK


def split(text: str) -> list[str]:
    """The text as tokens; joined, they are the text again."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """How many tokens the simulator bills for the text."""
    return len(_PIECE.findall(text))


def generate(chance: Chance, size: int) -> list[str]:
    """`size` tokens of varied prose; neighbours always differ, because proxies cut streams that repeat themselves."""
    tokens: list[str] = []
    previous = -1
    for position, byte in enumerate(chance.token(size)):
        index = byte & _MASK
        if index == previous:
            index = (index + 1) & _MASK
        previous = index
        word = WORDS[index]
        step = position % 12
        if step == 0:
            word = word.title() if position else word[1:].title()
        elif step == 11:
            word = "."
        tokens.append(word)
    return tokens
