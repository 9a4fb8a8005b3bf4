"""The call to one model with one credential: what goes into it, from the configuration of its provider.

Owns which parts a lane is made of, and what of its calls counts as the provider's health. Which lanes there are, and
what stands before them, is `lanes.py`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial

from golive.config.schema import ProviderConfig
from golive.core.clock import Clock
from golive.core.errors import GoliveError, ModelAuthFailed, ModelIncapable, NotFound
from golive.models.call import ModelCall
from golive.models.capabilities import Capabilities
from golive.models.course import no_credential
from golive.models.credentials import Credential, OpenCalls, Renew, Resolve
from golive.models.dialect import Dialect
from golive.models.embeddings import EmbeddingCall
from golive.models.gate import Gate
from golive.models.health import ProviderHealth
from golive.models.lanes import Lanes
from golive.models.meter import MeteredCall
from golive.models.own_credentials import OwnCredentials
from golive.models.prices import Prices
from golive.models.provider import Limits, Observe, ProviderCall
from golive.models.transport import Transport


class Making:
    """Makes them. The arguments are those of `ModelPlane`, and what it has made of the configuration."""

    def __init__(
        self, providers: Mapping[str, ProviderConfig], dialects: Mapping[str, Dialect], secrets: Resolve, renew: Renew,
        transport: Transport, open_calls: OpenCalls, prices: Prices, capabilities: Capabilities,
        health: Mapping[str, ProviderHealth], clock: Clock,
    ) -> None:  # fmt: skip
        self._providers = providers
        self._dialects = dialects
        self._secrets = secrets
        self._renew = renew
        self._transport = transport
        self._open_calls = open_calls
        self._prices = prices
        self._capabilities = capabilities
        self._health = health
        self._clock = clock

    def parts(self, ref: str) -> tuple[str, str, ProviderConfig]:
        """The provider's name, the model, and the provider's configuration, of `provider/model`.

        Raises:
            NotFound: the reference is not of that form, or there is no such provider.
        """
        provider, _, model = ref.partition("/")
        config = self._providers.get(provider)
        if not model or config is None:
            raise self._unknown(ref, provider, well_formed=bool(provider and model))
        return provider, model, config

    def model(self, ref: str, reference: str | None, limits: Limits | None, gate: Gate) -> ModelCall:
        """The metered call to `provider/model` with this credential of the installation's. Raises as `parts`."""
        return self._model(ref, reference, limits, gate, self._health[self.parts(ref)[0]].observe)

    def model_of_tenant(self, ref: str, reference: str | None, limits: Limits | None, gate: Gate) -> ModelCall:
        """Likewise with a credential of a tenant's own."""
        provider, _, config = self.parts(ref)
        return self._model(ref, reference, limits, gate, self._observe_own(provider, config))

    def _model(self, ref: str, reference: str | None, limits: Limits | None, gate: Gate, observe: Observe) -> ModelCall:
        provider, model, config = self.parts(ref)
        call = ProviderCall(
            provider=provider,
            model=model,
            base_url=config.base_url,
            limits=limits or limits_of(config),
            dialect=self._dialects[config.dialect],
            transport=self._transport,
            credential=(credential := self.credential(reference)),
            renewed=credential.renewed,
            open_calls=self._open_calls,
            clock=self._clock,
            observe=observe,
            limits_seen=gate.limits_seen,
        )
        price = partial(self._prices.price, provider, model)
        most = self._capabilities.of(provider, model).max_output_tokens
        return MeteredCall(call, target=ref, price=price, clock=self._clock, max_output_tokens=most)

    def embeddings(
        self, ref: str, lanes: Lanes, own: OwnCredentials
    ) -> Callable[[str], Sequence[tuple[EmbeddingCall, Gate]]]:
        """The calls for embeddings of `provider/model`, each with its gate, by tenant; that raises ModelNoCredential.

        Raises:
            NotFound: as `parts`. ModelIncapable: the model makes none.
        """
        provider, model, config = self.parts(ref)
        if not self._capabilities.of(provider, model).embeddings:
            raise ModelIncapable(
                f"{ref} makes no embeddings.", remedy="Name another model.",
                advice=f'Or correct [capabilities."{ref}"].', provider=provider, model=model, sent=False,
            )  # fmt: skip

        gates = lanes.gates(ref)

        def made(reference: str | None, gate: Gate, observe: Observe) -> tuple[EmbeddingCall, Gate]:
            credential = self.credential(reference)
            call = EmbeddingCall(
                provider=provider,
                model=model,
                base_url=config.base_url,
                limits=limits_of(config),
                dialect=self._dialects[config.dialect],
                transport=self._transport,
                credential=credential,
                renewed=credential.renewed,
                price=partial(self._prices.price, provider, model),
                clock=self._clock,
                observe=observe,
                limits_seen=gate.limits_seen,
            )
            return call, gate

        def of(tenant: str) -> Sequence[tuple[EmbeddingCall, Gate]]:
            reference = own.reference(tenant, provider)
            if reference is not None:
                return [made(reference, lanes.own_gate(ref, reference), self._observe_own(provider, config))]
            if own.refused(tenant, provider):
                raise no_credential(ref)
            observe = self._health[provider].observe
            return [made(credential, gate, observe) for credential, gate in gates]

        return of

    def credential(self, reference: str | None) -> Credential:
        """A reference as calls use it."""
        return Credential(reference, self._secrets, self._renew)

    def _observe_own(self, provider: str, config: ProviderConfig) -> Observe:
        """What calls with a tenant's own credential say of the provider: never that the tenant's was refused.

        That it answers says nothing of the installation's credential, which is another; a failure a probe looks into.
        """
        observe, whole = self._health[provider].observe, config.credentials == "tenant"

        def observed(error: GoliveError | None, latency_ms: float) -> None:
            if not isinstance(error, ModelAuthFailed) and (whole or error is not None):
                observe(error, latency_ms)

        return observed

    def _unknown(self, ref: str, provider: str, *, well_formed: bool) -> NotFound:
        known = ", ".join(self._providers) or "none"
        if not well_formed:
            return NotFound(
                f"{ref[:100]!r} is not a model: it must be provider/model.", advice=f"The providers are: {known}.",
                kind="model", name=ref[:100],
            )  # fmt: skip
        near = get_close_matches(provider, self._providers, 1)
        advice = f"Did you mean {near[0]!r}?" if near else f"The providers are: {known}."
        return NotFound(
            f"There is no provider {provider[:100]!r} (for the model {ref[:100]!r}).", advice=advice, kind="provider",
            name=provider[:100],
        )  # fmt: skip


def limits_of(config: ProviderConfig) -> Limits:
    """The provider's own limits."""
    return Limits(config.connect_s, config.first_token_s, config.between_tokens_s, config.call_s)
