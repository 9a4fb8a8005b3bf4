"""What answers while a server waits for its database at the start: it lives, and is not ready.

Says no more than that: who asks cannot be known yet, for the keys are in the database.
"""

from collections.abc import Awaitable
from typing import Any, Protocol

from golive.core.errors import StoreUnavailable
from golive.gateway import problems
from golive.gateway.exchange import Exchange, Receive, Scope, Send
from golive.gateway.health import Alive

RETRY_AFTER_S = 5


class Application(Protocol):
    """An ASGI application."""

    def __call__(self, scope: Scope, receive: Receive, send: Send, /) -> Awaitable[Any]: ...


class Starting:
    """Stands in front of the gateway: answers in its place until there is one, then hands everything over."""

    def __init__(self) -> None:
        self._application: Application = self._answer
        self.tries = 0
        """How often the database was tried in vain."""

    def hand_over(self, gateway: Application) -> None:
        """From now on the gateway answers, on open connections too."""
        self._application = gateway

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[Any]:
        """ASGI; no coroutine of its own, for every request passes here."""
        return self._application(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        if exchange.path == "/health/live":
            await exchange.json(Alive("live"))
            return
        status, headers, body = problems.problem(
            StoreUnavailable(
                "This server has not started yet: it waits for its database.",
                remedy="It starts by itself as soon as the database answers. Its log says what is wrong.",
                tries=self.tries, retry_after_s=RETRY_AFTER_S,
            )
        )  # fmt: skip
        await exchange.answer(status, body, problems.CONTENT_TYPE, headers)
