"""Circuit breakers, for who operates the server: how they stand, and closing them by hand once a provider is well."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from golive.config.schema import ServerConfig
from golive.config.suggest import did_you_mean
from golive.core.errors import NotFound
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.routes import Answer, Param, Route
from golive.models.gate import GateState


class BreakerCard(Struct, frozen=True):
    """One circuit breaker: of a target (`provider/model`), asked with one credential (its reference, "" for none).

    `state` is closed, open or half_open; `opened` counts how often it has opened; `wait_s`: seconds until the target
    may be asked, 0 when it may be now (a closed one may have asked to be left alone). `supervises` names an agent where
    it is that of the agent's supervisor, which opens when that took longer than `routing.wait_s` too often; `target` is
    then the first of the supervisor's chain, and is asked by others as before.
    """

    target: str
    credential: str
    state: str
    opened: int
    wait_s: float
    supervises: str = ""


class BreakerList(Struct, frozen=True):
    data: list[BreakerCard]


class BreakersQuery(Struct, frozen=True, forbid_unknown_fields=True):
    target: str | None = None


class ResetBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`target` names one `provider/model`; without it all are meant."""

    target: str | None = None


class ResetDone(Struct, frozen=True):
    """How many were not closed, or paused, and are closed now."""

    closed: int


class BreakerFaces:
    """Handlers of /v1/breakers."""

    def __init__(
        self, states: Callable[[], Sequence[GateState]], reset: Callable[[str | None], int],
        dialect: Callable[[str], str | None], server: ServerConfig,
    ) -> None:  # fmt: skip
        """Takes what it calls.

        Args:
            reset: takes a target, or None for all; says how many it closed, and raises NotFound.
            dialect: that of `provider/model`; None where there is no such provider.
        """
        self._states = states
        self._reset = reset
        self._dialect = dialect
        self._limit = server.max_body_bytes
        self._query = Reader(BreakersQuery)
        self._body = Reader(ResetBody)

    async def listing(self, exchange: Exchange) -> None:
        """GET /v1/breakers"""
        target = self._query.query(exchange.scope["query_string"]).target
        states = self._states()
        if target is not None:
            self._demand_provider(target, states)
            states = [state for state in states if state.target == target]
        await exchange.json(BreakerList([BreakerCard(**state._asdict()) for state in states]))

    async def reset(self, exchange: Exchange) -> None:
        """POST /v1/breakers/reset"""
        body = await self._body.read(exchange, self._limit, ResetBody())
        if body.target is not None:
            self._demand_provider(body.target, self._states())
        await exchange.json(ResetDone(self._reset(body.target)))

    def _demand_provider(self, target: str, states: Sequence[GateState]) -> None:
        """Raises NotFound where the target cannot be one, because nobody configured its provider."""
        provider, _, model = target[:120].partition("/")
        if model and self._dialect(target) is not None:
            return
        said = f"There is no provider {provider!r}" if model else f"{target[:120]!r} is not provider/model"
        asked = dict.fromkeys(state.target for state in states)
        raise NotFound(
            f"{said}, so there is no circuit breaker of that name.",
            remedy=did_you_mean(target[:120], asked) or "No model has been asked yet.",
            kind="breaker", name=target[:120], field="target", value=target[:120],
        )  # fmt: skip

    def routes(self) -> list[Route]:
        """All routes of this face."""
        return [
            Route(
                "GET", "/v1/breakers", "health.read", self.listing, "List circuit breakers", kind="breaker",
                owner="installation",
                tag="Agents and models",
                params=(Param("target", "query", "Only those of this `provider/model`; none where nobody asked it."),),
                answers=(Answer(200, "For each model in use and credential, and each supervisor.", BreakerList),),
            ),
            Route(
                "POST", "/v1/breakers/reset", "breakers.reset", self.reset, "Close circuit breakers", kind="breaker",
                owner="installation",
                tag="Agents and models", body=ResetBody, answers=(Answer(200, "How many were closed.", ResetDone),),
                description="The next call asks the provider again at once; a pause that it asked for is forgotten.",
            ),
        ]  # fmt: skip
