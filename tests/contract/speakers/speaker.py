"""What a vendor's dialect hands to the contract suite."""

from typing import NamedTuple

from golive.models.call import Opened
from golive.models.dialect import Dialect


class Speaker(NamedTuple):
    """How one vendor writes what every vendor can say: (streamed, whole) bodies by situation."""

    dialect: Dialect
    streamed: dict[str, bytes]
    whole: dict[str, bytes]
    opened: Opened = Opened("chatcmpl-1", "m-1", "req_1", 7)
    """How the situation "text" opens; vendors differ in the ids and times they give."""
