"""Names and notes that a client gives: without control characters, which databases refuse and terminals obey."""

import re
from collections.abc import Mapping

from golive.core.errors import InvalidRequest

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


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
