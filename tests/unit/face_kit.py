"""A client of a face that stays until it has been answered."""

from collections.abc import Callable
from typing import Any

from msgspec import structs

from golive.gateway.exchange import Exchange
from golive.gateway.watch import CONNECTION
from golive.tenants.roles import BUILT_IN
from tests.unit.runtime_kit import PRINCIPAL


class _Still:
    """A connection that stays."""

    def watch(self, on_gone: Callable[[], None] | None) -> None:
        """Nobody leaves."""


class Client:
    """What it is sent on its exchange."""

    def __init__(self) -> None:
        self._sent: list[Any] = []
        scope = {"method": "POST", "path": "/", "headers": [], CONNECTION: _Still()}
        self.exchange = Exchange(scope, self._receive, self._send)
        self.exchange.principal = structs.replace(PRINCIPAL, grants=BUILT_IN["user"].grants)

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.request"}

    async def _send(self, message: Any) -> None:
        self._sent.append(message)

    @property
    def status(self) -> int:
        return int(self._sent[0]["status"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self._sent)
