"""The model plane, put together: from names in the configuration to calls.

Owns which wrapper goes around which, and what is remembered per provider (health) and per target. Built by `app.py`
alone.
"""

from collections.abc import AsyncGenerator, Callable, Iterable
from weakref import WeakValueDictionary

from msgspec.structs import replace

from golive.config.schema import GoliveConfig, ProviderConfig, TierConfig
from golive.core.backoff import BackoffPolicy, RetryBudget
from golive.core.breaker import BreakerPolicy
from golive.core.chance import Chance, SystemChance
from golive.core.clock import Clock
from golive.core.errors import GoliveError, ModelAuthFailed, ModelError, NotFound
from golive.core.health import BreakerInfo, Dependency
from golive.core.tasks import Tasks
from golive.models.anthropic import Anthropic
from golive.models.bounded import Bounded
from golive.models.cache import CachedCall, KeptAnswers
from golive.models.call import CallContext, ModelCall, ModelEvent, ModelRequest
from golive.models.capabilities import Capabilities
from golive.models.chain import Chain
from golive.models.coalesce import Flights
from golive.models.course import Chained
from golive.models.credentials import OpenCalls, Renew, never
from golive.models.decoding import Unrecognised, unheard
from golive.models.dialect import Dialect
from golive.models.embedding_cache import CachedEmbeddings
from golive.models.embeddings import Embed, EmbeddingChain
from golive.models.gate import Gate, GateState, Moved
from golive.models.gemini import Gemini
from golive.models.health import ProviderHealth
from golive.models.hedge import Hedged
from golive.models.lanes import Lanes
from golive.models.listing import ModelInfo, describe
from golive.models.making import Making
from golive.models.openai_chat import OpenAIChat
from golive.models.openai_responses import OpenAIResponses
from golive.models.own_credentials import CredentialOf, OwnCredentials, nobodys
from golive.models.prices import Prices
from golive.models.provider import Limits
from golive.models.recovery import Recovering, Ways
from golive.models.transport import Transport
from golive.models.vendor_errors import Origin

MAX_TARGETS_KEPT = 1_000
"""Targets kept ready; callers name models freely, so that the oldest makes way, and is made anew when asked again."""

_DIALECTS: dict[str, Callable[[Unrecognised], Dialect]] = {
    "anthropic": Anthropic,
    "gemini": Gemini,
    "openai-chat": OpenAIChat,
    "openai-responses": OpenAIResponses,
}


class ModelPlane:
    """Every provider of the configuration, ready to be called.

    Args:
        secrets: resolves a reference to its value; asked at every call, so that a rotated credential is used at once.
            Its errors go to the caller. `renew`: asked for another value than one that was refused.
        credential_of: the reference to a tenant's own credential for a provider; asked at every call.
    """

    def __init__(
        self, config: GoliveConfig, secrets: Callable[[str], str], transport: Transport, clock: Clock, *,
        chance: Chance | None = None, moved: Moved = lambda gate, before: None, unrecognised: Unrecognised = unheard,
        renew: Renew = never, open_calls: OpenCalls | None = None, credential_of: CredentialOf = nobodys,
    ) -> None:  # fmt: skip
        self._providers = config.providers
        self._dialects = {name: dialect(unrecognised) for name, dialect in _DIALECTS.items()}
        self._transport = transport
        self._clock = clock
        self._targets: dict[str, ModelCall] = {}
        self._health = {name: ProviderHealth(name, clock) for name in config.providers}
        self.prices = Prices(config.prices, config.providers, clock)
        self.capabilities = Capabilities(config.capabilities)
        self._making = Making(
            config.providers, self._dialects, secrets, renew, transport, open_calls or OpenCalls(), self.prices,
            self.capabilities, self._health, clock,
        )  # fmt: skip
        made = (self._making.model, clock, moved, self._forget, self._making.model_of_tenant)
        self._lanes = Lanes(config.providers, config.breaker, self.capabilities, *made)
        self._chance = chance or SystemChance()
        self._retry = config.retry
        self._only_own = {name for name, one in config.providers.items() if one.credentials == "tenant"}
        self._own = OwnCredentials(credential_of, self._only_own, self._new_budget)
        self._breaker_policy = BreakerPolicy(config.breaker.failures, config.breaker.open_s, config.breaker.successes)
        self._budget = self._new_budget()
        self._cache_ttl_s = config.cache.ttl_s
        self._answers = KeptAnswers(config.cache.max_bytes, clock)
        self._flights = Flights(clock)
        self._moved = moved
        self._supervisors: WeakValueDictionary[str, Bounded] = WeakValueDictionary()
        """By agent; it goes with the agent's version."""

    def target(self, ref: str, cache_ttl_s: float | None = None) -> ModelCall:
        """The metered call to `provider/model`.

        Args:
            cache_ttl_s: how long its answers are kept, seconds; 0: not at all; None: as [cache] says.

        Raises:
            NotFound: the reference is not of that form, or there is no such provider.
        """
        call = self._targets.get(ref)
        if call is None:
            call = self._chain(Chained((self._lanes.target(ref),)), self._retry.relay_retries)
            if len(self._targets) >= MAX_TARGETS_KEPT:
                self._forget(next(iter(self._targets)))
            self._targets[ref] = call
        else:
            self._lanes.used(ref)
        return self._cached(call, ref, cache_ttl_s)

    def forget_answers(self, tenant: str) -> None:
        """Nothing that was answered to the tenant is kept any more."""
        self._answers.forget(tenant)

    def chain(self, tier: TierConfig, *, hands_over: bool = False) -> ModelCall:
        """A call along the tier's chains.

        Args:
            hands_over: another tier stands behind it, so that nothing is tried again before there is a word to save.

        Raises:
            NotFound: as `target`.
        """
        for ref in (*tier.chain, *tier.chain_context_too_long, *tier.chain_content_refused):
            self._lanes.keep(ref)
        chained = self._chained(tier)
        retries = self._retry.retries if tier.retries is None else tier.retries
        prefilled = tuple([target for target in chained.targets if target.can.prefill])
        ways = Ways(
            tier.on_break, self._chain(Chained(prefilled), retries) if prefilled else None, tier.continue_instructed
        )
        again = self._chain(chained, retries)
        plain = _Impatient(self._chain(chained, 0), again) if hands_over else again
        call = Recovering(Hedged(plain, self._budget, self._clock) if tier.hedge else plain, ways)
        return self._cached(call, tier.model_dump_json(), tier.cache_ttl_s)

    def bounded(self, tier: TierConfig, agent: str) -> Bounded:
        """A call along the tier's chains that can be done without: each target is asked once, and nothing is mended.

        Args:
            agent: whose supervisor asks; of several versions the newest one's circuit breaker is shown.

        Raises:
            NotFound: as `target`.
        """
        call = self._cached(self._chain(self._chained(tier), 0), tier.model_dump_json(), tier.cache_ttl_s)
        gate = Gate(tier.chain[0], "", self._breaker_policy, self._clock, self._moved, agent)
        bounded = self._supervisors[agent] = Bounded(call, " and ".join(tier.chain), gate)
        return bounded

    def _chained(self, tier: TierConfig) -> Chained:
        refs = (tier.chain, tier.chain_context_too_long, tier.chain_content_refused)
        return Chained(*[tuple([self._lanes.target(ref, self._limits(ref, tier)) for ref in part]) for part in refs])

    def configured(self, ref: str) -> bool:
        """Whether an agent's chain, or a provider's `models`, names `provider/model`."""
        return self._lanes.configured(ref)

    def gates(self, provider: str) -> list[GateState]:
        """The circuit breakers of a provider, as they stand."""
        return self._lanes.states(provider)

    def dialect(self, ref: str) -> str | None:
        """The dialect that the provider of `provider/model` speaks; None where there is no such provider."""
        config = self._providers.get(ref.partition("/")[0])
        return None if config is None else config.dialect

    def embeddings(self, ref: str, cache_ttl_s: float | None = None) -> Embed:
        """The metered call for embeddings of `provider/model`; `cache_ttl_s` as for `target`.

        Raises:
            NotFound: as `target`.
        """
        call = self._embeddings(ref)
        ttl_s = self._cache_ttl_s if cache_ttl_s is None else cache_ttl_s
        if not ttl_s:
            return call
        return CachedEmbeddings(call, name=ref, ttl_s=ttl_s, cache=self._answers, clock=self._clock)

    def needs_price_list(self) -> bool:
        """Whether some provider's models have no price of your own, so that the list is worth loading early."""
        return any(self.prices.needs_list(name, "any other model") for name in self._providers)

    def models(self, also: Iterable[str] = (), tenant: str = "") -> list[ModelInfo]:
        """The models that providers list, then further targets `provider/model`, with what is known of each, and with
        whose credential a tenant's calls go there.

        May load the price list.
        """
        listed = [f"{name}/{model}" for name, config in self._providers.items() for model in config.models]
        wanted = dict.fromkeys([*listed, *also])
        return [self._info(ref, tenant) for ref in wanted if ref.partition("/")[0] in self._providers]

    async def health(self) -> list[Dependency]:
        """The state of every provider, in the order of the configuration; takes at most the time of one probe."""
        checks = []
        async with Tasks("provider health") as tasks:
            for name, config in self._providers.items():
                checks.append(tasks.start(self._check(name, config), name))
        return [self._with_breakers(check.result()) for check in checks]

    def breakers(self) -> list[GateState]:
        """Every circuit breaker, provider by provider (those of tenants' own credentials behind the others), and then
        those of supervisors."""
        supervisors = [bounded.gate.state for _, bounded in sorted(self._supervisors.items())]
        lanes = self._lanes
        return [
            gate for name in self._providers for gate in (*lanes.states(name), *lanes.own_states(name))
        ] + supervisors

    def reset_breakers(self, target: str | None = None) -> int:
        """Closes the breakers of `provider/model`, or all; how many were not closed, or paused.

        A supervisor's is closed with that of the first target of its tier.

        Raises:
            NotFound: there is no such target, or it has not been asked for.
        """
        try:
            supervisors = [bounded.gate for bounded in self._supervisors.values()]
            closed = sum([gate.reset() for gate in supervisors if target in (None, gate.target)])
            return closed + self._lanes.reset(target)
        except KeyError:
            known = ", ".join(sorted({gate.target for gate in self.breakers()})) or "none"
            raise NotFound(
                f"There is no circuit breaker for {str(target)[:100]!r}.", remedy=f"Models asked so far: {known}.",
                kind="breaker", name=str(target)[:100], field="target", value=str(target)[:100],
            ) from None  # fmt: skip

    def open_breakers(self) -> int:
        """How many circuit breakers are not closed."""
        return sum(gate.state != "closed" for gate in self.breakers())

    def _with_breakers(self, seen: Dependency) -> Dependency:
        """Down, whatever a probe says, where every model in use is behind an open breaker."""
        gates = self.gates(seen.name)
        shown = []
        for gate in gates:
            if gate.state != "closed" or gate.wait_s:
                state = "paused" if gate.state == "closed" else gate.state
                shown.append(BreakerInfo(gate.target, state, gate.wait_s, gate.credential, gate.opened))
        if not shown:
            return seen
        if all(gate.state == "open" for gate in gates):
            return replace(seen, state="down", detail=seen.detail or "circuit breaker open", breakers=tuple(shown))
        return replace(seen, breakers=tuple(shown))

    def _forget(self, ref: str) -> None:
        self._targets.pop(ref, None)
        self._own.forget()

    def _new_budget(self) -> RetryBudget:
        return RetryBudget(self._retry.share, self._retry.reserve)

    async def close(self) -> None:
        """Closes every connection."""
        await self._flights.close()
        await self._transport.close()

    def _embeddings(self, ref: str) -> Embed:
        lanes = self._making.embeddings(ref, self._lanes, self._own)

        def chain(chained: Chained, tenant: str) -> ModelCall:
            budget = self._own.budget_of(tenant, ref.partition("/")[0])
            return self._along(chained, self._retry.relay_retries, budget or self._budget, None)

        return EmbeddingChain(ref, lanes, chain)

    def _chain(self, chained: Chained, retries: int) -> ModelCall:
        return self._along(chained, retries, self._budget, self._own)

    def _along(self, chained: Chained, retries: int, budget: RetryBudget, own: OwnCredentials | None) -> ModelCall:
        policy = BackoffPolicy(retries, self._retry.first_s, self._retry.most_s)
        return Chain(chained, policy=policy, budget=budget, chance=self._chance, clock=self._clock, own=own)

    def _cached(self, call: ModelCall, name: str, ttl_s: float | None) -> ModelCall:
        """The call with its answers kept for `ttl_s`; None: as [cache] says, and of deterministic requests alone."""
        kept_s = self._cache_ttl_s if ttl_s is None else ttl_s
        if not kept_s:
            return call
        return CachedCall(
            call, name=name, ttl_s=kept_s, deterministic_only=ttl_s is None, cache=self._answers,
            flights=self._flights, clock=self._clock,
        )  # fmt: skip

    def _limits(self, ref: str, tier: TierConfig) -> Limits:
        """The provider's limits, and the tier's own before them."""
        config = self._making.parts(ref)[2]
        return Limits(
            config.connect_s,
            tier.first_token_s or config.first_token_s,
            tier.between_tokens_s or config.between_tokens_s,
            tier.call_s or config.call_s,
        )

    async def _check(self, name: str, config: ProviderConfig) -> Dependency:
        dialect = self._dialects[config.dialect]
        try:
            secret = self._making.credential(config.api_key)()
        except GoliveError as error:
            return Dependency(name, "provider", "down", None, error.message)
        headers = {"Accept": "application/json", **dialect.headers(config.base_url, secret)}
        url = config.base_url.rstrip("/") + dialect.models_path()
        origin = Origin(name, "", secret=secret)

        def refusal(status: int, header: Callable[[str], str | None], body: bytes) -> ModelError:
            error = dialect.refusal(origin, status, header, body, self._clock.now())
            if isinstance(error, ModelAuthFailed) and config.credentials == "tenant" and config.api_key is None:
                return origin.error(ModelError, "answers, and asks for a credential, of which tenants have their own.")
            return error

        return await self._health[name].check(self._transport, url, headers, refusal)

    def _info(self, ref: str, tenant: str) -> ModelInfo:
        provider, _, model = ref.partition("/")
        price, can = self.prices.price(provider, model), self.capabilities.of(provider, model)
        return describe(ref, self._providers[provider].dialect, price, can, self._own.whose(tenant, provider))


class _Impatient:
    """Asks by `first`, and by `again` to go on with an answer of which something had come."""

    __slots__ = ("_again", "_first")

    def __init__(self, first: ModelCall, again: ModelCall) -> None:
        self._first = first
        self._again = again

    def __call__(self, request: ModelRequest, ctx: CallContext) -> AsyncGenerator[list[ModelEvent], None]:
        return (self._again if ctx.attempts else self._first)(request, ctx)
