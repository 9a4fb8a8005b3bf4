"""The lanes of every target: one for each credential of its provider, each behind a gate of its own.

A gate is shared by all who ask the same model with the same credential, whatever chain or limits they come by.
"""

from collections.abc import Callable, Iterable, Mapping

from golive.config.schema import BreakerConfig, ProviderConfig
from golive.core.breaker import BreakerPolicy
from golive.core.clock import Clock
from golive.models.call import ModelCall
from golive.models.capabilities import Capabilities
from golive.models.course import ChainTarget, Lane
from golive.models.gate import Gate, GateState, Moved
from golive.models.provider import Limits

MAX_GATES = 4_000
"""Gates kept; callers name models freely, and those beyond get gates of their own for each call."""

Make = Callable[[str, str | None, Limits | None, Gate], ModelCall]
"""Makes the call to a target with one credential (its reference), under limits other than the provider's own."""


class Lanes:
    """Makes the targets of chains, and keeps their gates."""

    def __init__(
        self, providers: Mapping[str, ProviderConfig], breaker: BreakerConfig, capabilities: Capabilities, make: Make,
        clock: Clock, moved: Moved,
    ) -> None:  # fmt: skip
        self._providers = providers
        self._policy = BreakerPolicy(breaker.failures, breaker.open_s, breaker.successes)
        self._capabilities = capabilities
        self._make = make
        self._clock = clock
        self._moved = moved
        self._gates: dict[tuple[str, str], Gate] = {}

    def target(self, ref: str, limits: Limits | None = None) -> ChainTarget:
        """`provider/model` with its lanes.

        Raises:
            NotFound: as `make`.
        """
        provider, _, model = ref.partition("/")
        lanes = tuple([Lane(self._make(ref, reference, limits, gate), gate) for reference, gate in self.gates(ref)])
        return ChainTarget(ref, lanes, self._capabilities.of(provider, model))

    def gates(self, ref: str) -> list[tuple[str | None, Gate]]:
        """The credentials of `provider/model` (their references; None: it needs none), in order, each with its gate."""
        config = self._providers.get(ref.partition("/")[0])
        references = (None,) if config is None else (config.api_key, *config.more_api_keys)
        return [(reference, self._gate(ref, reference or "")) for reference in references]

    def states(self, provider: str) -> list[GateState]:
        """The gates of a provider that have been asked for, by target and credential."""
        return [gate.state for gate in self._of(provider)]

    def reset(self, target: str | None) -> int:
        """Closes the gates of a target, or all of them; how many were not open to everybody.

        Raises:
            KeyError: the target has not been asked for.
        """
        gates = [gate for (ref, _), gate in self._gates.items() if target in (None, ref)]
        if target is not None and not gates:
            raise KeyError(target)
        return sum([gate.reset() for gate in gates])

    def _of(self, provider: str) -> Iterable[Gate]:
        return (gate for (ref, _), gate in sorted(self._gates.items()) if ref.startswith(f"{provider}/"))

    def _gate(self, ref: str, reference: str) -> Gate:
        gate = self._gates.get((ref, reference))
        if gate is None:
            gate = Gate(ref, reference, self._policy, self._clock, self._moved)
            if len(self._gates) < MAX_GATES:
                self._gates[ref, reference] = gate
        return gate
