"""What the door hands on about each decision: who asked, for what, from where, and what became of it."""

from collections.abc import Callable
from typing import Literal

from msgspec import Struct


class Judged(Struct, frozen=True, gc=False):
    """One decision about one request.

    `outcome`: allowed; denied (known who, but they may not); refused (no valid credential: tenant, actor and home are
    then ""). `tenant` is the one that was acted in, `home` that of the credential: where they differ, both are told.
    `owner` is whose the resource is. `source` is the client's address, `route` method and path as they are registered,
    never with what stood in them.
    """

    outcome: Literal["allowed", "denied", "refused"]
    tenant: str
    actor: str
    home: str
    role: str
    verb: str
    owner: str
    kind: str
    name: str
    agent: str
    reason: str
    source: str
    route: str


Hook = Callable[[Judged], None]
"""Takes each decision; called within the request, so it must not wait, and must not raise."""


def unheard(judged: Judged) -> None:
    """The hook where nobody listens."""
