"""Names and notes that a client gives: without control characters, which databases refuse and terminals obey.

What no store holds (NUL, half a surrogate pair) is refused at the door: of paths, queries, and bodies but for content.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from golive.core.errors import InvalidRequest

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def plain(field: str, text: str | None, *, lines: bool = False) -> None:
    """Whether the text can be kept and shown as it is. `lines`: tabs and ends of lines may stand in it.

    Raises:
        InvalidRequest: it holds another control character; names `field` and where.
    """
    found = None if text is None else (_CONTROL_BUT_LINES if lines else _CONTROL).search(text)
    if found is not None:
        raise InvalidRequest(
            f"{field} holds the control character U+{ord(found.group()):04X} at position {found.start()}.",
            remedy="Send it without control characters.", field=field, position=found.start(),
        )  # fmt: skip


def plain_run(conversation: str | None, metadata: Mapping[str, str]) -> None:
    """As `plain`, of what a run is kept with."""
    plain("conversation_id", conversation)
    for name, value in metadata.items():
        plain("metadata", name)
        plain(f"metadata.{name[:80]}", value, lines=True)


def nameable(segment: str) -> bool:
    """Whether anything can be called so; also once more decoded, as names with a slash in them are sent."""
    return _CONTROL.search(unquote(segment) if "%" in segment else segment) is None


def no_nul(document: Any) -> None:
    """Whether every text of a body can be kept. Raises InvalidRequest, naming the field."""
    for field, text in _texts(document, ""):
        if (at := text.find("\0")) >= 0:
            raise InvalidRequest(
                f"{field or 'body'} holds the character U+0000 at position {at}, which no database keeps.",
                remedy="Send it without.", field=field or "body", position=at,
            )  # fmt: skip


def _texts(value: Any, field: str) -> Iterator[tuple[str, str]]:
    """Every text in it, the names of fields included, with the field where it stands."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield field, name
            yield from _texts(inner, f"{field}.{name[:80]}" if field else name[:80])
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _texts(inner, f"{field}[{index}]")
