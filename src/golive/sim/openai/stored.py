"""Responses that are kept, so that a later request can go on with one of them (`previous_response_id`).

As with the vendor they belong to whoever made them. Bounded in number and bytes; the oldest make room.
Source: https://platform.openai.com/docs/guides/conversation-state, as of 2026.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import msgspec

MAX_RESPONSES = 1_000
MAX_BYTES = 16 * 1024 * 1024
"""Of the items of all responses together, as JSON."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[Any]).decode


class StoredResponses:
    """What was asked and answered up to each response, as items, by its owner and id."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, owner: str, response: str, items: Sequence[Any]) -> None:
        """Keeps everything that was said up to this response, its own output included."""
        data = _encode(items)
        self._kept[owner, response] = data
        self._bytes += len(data)
        while len(self._kept) > MAX_RESPONSES or (self._bytes > MAX_BYTES and len(self._kept) > 1):
            self._bytes -= len(self._kept.popitem(last=False)[1])

    def items(self, owner: str, response: str) -> list[Any] | None:
        """The items up to this response; None where the owner has none of that id."""
        data = self._kept.get((owner, response))
        return None if data is None else _decode(data)
