"""What of a row is sealed, and what it is bound to. Pure.

An event names its key in a column of its own. A message and the words of a failed attempt have no such column: they
begin with a mark and the key's id, which nothing plain begins with.
"""

import base64
import binascii

from msgspec.structs import replace

from golive.core.errors import ContentSealed
from golive.core.events import Event
from golive.core.sealing import NotAuthentic, SealingKey, place
from golive.store.ports import Delivery, OutboxMessage

MARK = b"\x00sealed\x00"
"""How the body of a sealed message begins."""
_TEXT_MARK = "sealed:"

SEAL = (
    "If it is of before content was sealed, `golive secrets seal` seals it (`--dry-run` counts first; or set "
    'secrets.plain_rows = "read"); if not, somebody else writes to the database: restore a backup.'
)
"""What to do about what is not sealed."""


class Key:
    """A data key. `left`: how many more values this process may seal under it."""

    __slots__ = ("id", "left", "sealing", "tenant")

    def __init__(self, tenant: str, id_: str, secret: bytes) -> None:
        self.tenant = tenant
        self.id = id_
        self.left = 0
        self.sealing = SealingKey(secret)


def sealed_event(event: Event, key: Key, nonce: bytes) -> Event:
    """The event, its body sealed."""
    body = key.sealing.seal(event.body, _of_event(event, key.id), nonce)
    return Event(
        event.tenant, event.run, event.seq, event.epoch, event.branch, event.version, event.at, event.kind, body, key.id
    )


def opened_event(event: Event, key: Key) -> Event:
    """The event, its body plain, and so under no key.

    Raises:
        ContentSealed: it is not what was sealed for this row.
    """
    try:
        body = key.sealing.open(event.body, _of_event(event, key.id))
    except NotAuthentic:
        raise ContentSealed(
            f"Event {event.seq} ({event.kind}) of the run {event.run} of {event.tenant} cannot be opened: it is not "
            "what was sealed there.",
            remedy="The row was changed or moved. `golive store verify` tells all such rows; restore a backup.",
            tenant=event.tenant, run=event.run, seq=event.seq, key_id=key.id,
        ) from None  # fmt: skip
    return Event(
        event.tenant, event.run, event.seq, event.epoch, event.branch, event.version, event.at, event.kind, body
    )


def _of_event(event: Event, key_id: str) -> bytes:
    return place("event", event.tenant, event.run, str(event.seq), event.kind, key_id)


def sealed_message(message: OutboxMessage, key: Key, nonce: bytes) -> OutboxMessage:
    """The message, its body sealed."""
    return replace(message, body=sealed_body(message.tenant, message.id, message.topic, message.body, key, nonce))


def sealed_body(tenant: str, id_: str, topic: str, body: bytes, key: Key, nonce: bytes) -> bytes:
    """A message's body, sealed."""
    sealed = key.sealing.seal(body, place("message", tenant, id_, topic, key.id), nonce)
    return MARK + key.id.encode() + b"\x00" + sealed


def key_of_message(body: bytes) -> str | None:
    """The id of the key that a message's body is sealed under; None: it is plain."""
    if not body.startswith(MARK):
        return None
    return body[len(MARK) :].partition(b"\x00")[0].decode("utf-8", "replace")


def opened_message(found: Delivery, key: Key) -> Delivery:
    """The message, its body plain.

    Raises:
        ContentSealed: it is not what was sealed for this row.
    """
    try:
        return replace(
            found,
            body=key.sealing.open(
                found.body[len(MARK) :].partition(b"\x00")[2], _of_message(found, key.id)
            ),
        )  # fmt: skip
    except NotAuthentic:
        raise _not_of_the_message(found.tenant, found.id, key.id) from None


def _of_message(message: OutboxMessage | Delivery, key_id: str) -> bytes:
    return place("message", message.tenant, message.id, message.topic, key_id)


def sealed_error(tenant: str, message: str, error: str, key: Key, nonce: bytes) -> str:
    """Why an attempt to send a message failed, sealed: receivers quote what they were sent."""
    data = key.sealing.seal(error.encode("utf-8", "surrogatepass"), _of_error(tenant, message, key.id), nonce)
    return f"{_TEXT_MARK}{key.id}:{base64.b64encode(data).decode()}"


def key_of_error(error: str | None) -> str | None:
    """The id of the key that such words are sealed under; None: they are plain, or none."""
    return error[len(_TEXT_MARK) :].partition(":")[0] if error is not None and error.startswith(_TEXT_MARK) else None


def opened_error(found: Delivery, key: Key) -> Delivery:
    """The message with the words of its last failed attempt plain. Raises ContentSealed."""
    assert found.last_error is not None
    try:
        data = base64.b64decode(found.last_error.rpartition(":")[2], validate=True)
        plain = key.sealing.open(data, _of_error(found.tenant, found.id, key.id))
    except (NotAuthentic, binascii.Error):
        raise _not_of_the_message(found.tenant, found.id, key.id) from None
    return replace(found, last_error=plain.decode("utf-8", "surrogatepass"))


def _of_error(tenant: str, message: str, key_id: str) -> bytes:
    return place("error", tenant, message, key_id)


def plain_event(event: Event) -> ContentSealed:
    """Why an event in plain words is not read where everything is sealed."""
    return ContentSealed(
        f"Event {event.seq} ({event.kind}) of the run {event.run} of {event.tenant} stands there in plain words, and "
        "what is not sealed is not read: anybody who can write to the database could have put it there.",
        remedy=SEAL, tenant=event.tenant, run=event.run, seq=event.seq,
    )  # fmt: skip


def plain_message(tenant: str, id_: str) -> ContentSealed:
    """Likewise of a message."""
    return ContentSealed(
        f"The message {id_} of {tenant} stands there in plain words, and what is not sealed is not sent: anybody who "
        "can write to the database could have put it there.", remedy=SEAL, tenant=tenant, message_id=id_,
    )  # fmt: skip


def _not_of_the_message(tenant: str, id_: str, key_id: str) -> ContentSealed:
    return ContentSealed(
        f"The message {id_} of {tenant} cannot be opened: it is not what was sealed there.",
        remedy="The row was changed or moved; restore a backup.", tenant=tenant, message_id=id_, key_id=key_id,
    )  # fmt: skip
