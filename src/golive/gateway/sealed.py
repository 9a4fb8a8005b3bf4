"""A provider's state on its way through a client of another dialect: sealed in one answer, opened in the next request.

Sealed is packed and not encrypted: what can be read in it is the provider's own affair, and a client that forges it
deceives nobody but itself. Which field carries it each face decides.
"""

import base64
import binascii

import msgspec
from msgspec import Raw, Struct

from golive.core.errors import InvalidRequest
from golive.core.messages import Opaque

SEAL = "golive."
"""How state begins that golive has sealed."""


class Sealed(Struct, frozen=True, omit_defaults=True):
    """What is in it; `call` is the id of the tool call that the state belongs to."""

    provider: str
    data: Raw
    before: int = 0
    call: str | None = None
    model: str = ""

    @property
    def state(self) -> Opaque:
        """The state itself."""
        return Opaque(self.provider, self.data, self.before, self.model)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Sealed).decode


def seal(state: Opaque, call: str | None = None) -> str:
    """The state as a client is handed it."""
    packed = _encode(Sealed(state.provider, state.data, state.before, call, state.model))
    return SEAL + base64.urlsafe_b64encode(packed).decode()


def unseal(text: str, field: str) -> Sealed:
    """The state that a client hands back in `field`.

    Raises:
        InvalidRequest: it is not what golive gave out.
    """
    try:
        sealed = _decode(base64.b64decode(text.removeprefix(SEAL), altchars=b"-_", validate=True))
        msgspec.json.decode(sealed.data)
    except (binascii.Error, msgspec.MsgspecError, ValueError, RecursionError):
        raise InvalidRequest(
            f"{field} begins as golive's own and is not what golive gave out.",
            remedy="Send it back as it came, or leave it out.",
            field=field,
        ) from None
    return sealed
