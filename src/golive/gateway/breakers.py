"""Circuit breakers, for who operates the server: how they stand, and closing them by hand once a provider is well."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from golive.config.schema import ServerConfig
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.routes import Answer, Route
from golive.models.gate import GateState


class BreakerCard(Struct, frozen=True):
    """One circuit breaker: of a target (`provider/model`), asked with one credential (its reference, "" for none).

    `state` is closed, open or half_open; `opened` counts how often it has opened; `wait_s`: seconds until the target
    may be asked, 0 when it may be now (a closed one may have asked to be left alone).
    """

    target: str
    credential: str
    state: str
    opened: int
    wait_s: float


class BreakerList(Struct, frozen=True):
    data: list[BreakerCard]


class ResetBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`target` names one `provider/model`; without it all are meant."""

    target: str | None = None


class ResetDone(Struct, frozen=True):
    """How many were not closed, or paused, and are closed now."""

    closed: int


class BreakerFaces:
    """Handlers of /v1/breakers."""

    def __init__(
        self, states: Callable[[], Sequence[GateState]], reset: Callable[[str | None], int], server: ServerConfig
    ) -> None:
        """`reset` takes a target, or None for all; says how many it closed, and raises NotFound."""
        self._states = states
        self._reset = reset
        self._limit = server.max_body_bytes
        self._body = Reader(ResetBody)

    async def listing(self, exchange: Exchange) -> None:
        """GET /v1/breakers"""
        await exchange.json(BreakerList([BreakerCard(**state._asdict()) for state in self._states()]))

    async def reset(self, exchange: Exchange) -> None:
        """POST /v1/breakers/reset"""
        body = await self._body.read(exchange, self._limit, ResetBody())
        await exchange.json(ResetDone(self._reset(body.target)))

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "GET", "/v1/breakers", "health.read", self.listing, "List circuit breakers", kind="breaker",
                tag="Agents and models",
                answers=(Answer(200, "One for each model in use and credential.", BreakerList),),
            ),
            Route(
                "POST", "/v1/breakers/reset", "breakers.reset", self.reset, "Close circuit breakers", kind="breaker",
                tag="Agents and models", body=ResetBody, answers=(Answer(200, "How many were closed.", ResetDone),),
                description="The next call asks the provider again at once; a pause that it asked for is forgotten.",
            ),
        ]  # fmt: skip
