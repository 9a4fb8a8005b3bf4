"""Room in a conversation: what an append may depend on, so that of many servers no two take one turn."""

from msgspec import Struct

from golive.core.errors import ConversationBusy
from golive.core.events import State

LOOKED_AT = 50
"""So many of a conversation's newest runs are looked at for such as are under way, and those besides that may be."""


class Room(Struct, frozen=True):
    """A condition of an append: of the conversation's other runs at most `most` are in one of these states.

    Holds among all servers: of two appends with such a condition the second one sees what the first one wrote.
    """

    conversation: str
    most: int
    states: tuple[State, ...]


def no_room(conversation: str, runs: int) -> ConversationBusy:
    """So many runs of the conversation leave no room for another."""
    return ConversationBusy(
        f"{runs} runs are under way or waiting on conversation {conversation!r} already.",
        remedy="Wait for one to finish.",
        advice="Or raise server.conversation_queue.",
        field="conversation_id",
        value=conversation,
    )
