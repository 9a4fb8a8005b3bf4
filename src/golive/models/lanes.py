"""The lanes of every target: one for each credential of its provider, each behind a gate of its own.

A gate is shared by all who ask the same model with the same credential, whatever chain or limits they come by. The
gates of configured targets stay; of those that clients name freely, as many as there is room for.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from golive.config.failing import BreakerConfig
from golive.config.schema import ProviderConfig
from golive.core.breaker import BreakerPolicy
from golive.core.clock import Clock
from golive.models.call import ModelCall
from golive.models.capabilities import Capabilities
from golive.models.course import ChainTarget, Lane
from golive.models.gate import Gate, GateState, Moved
from golive.models.provider import Limits

MAX_NAMED = 4_000
"""Targets whose gates are kept, beyond those of the configuration: clients name models freely."""

MAX_OWN = 10_000
"""Targets with tenants' own credentials whose gates are kept."""

Gates = tuple[tuple[str | None, Gate], ...]
"""The credentials of one target (their references; None: it needs none), in order, each with its gate."""
Make = Callable[[str, str | None, Limits | None, Gate], ModelCall]
"""Makes the call to a target with one credential (its reference), under limits other than the provider's own."""


class Lanes:
    """Makes the targets of chains, and keeps their gates."""

    def __init__(
        self, providers: Mapping[str, ProviderConfig], breaker: BreakerConfig, capabilities: Capabilities, make: Make,
        clock: Clock, moved: Moved, let_go: Callable[[str], object] = lambda ref: None, make_own: Make | None = None,
    ) -> None:  # fmt: skip
        """Takes what makes calls.

        Args:
            let_go: told of a target whose gates are no longer kept: who asks it again must come here again.
            make_own: as `make`, with a credential of a tenant's own; as `make` when absent.
        """
        self._make_own = make_own or make
        self._providers = providers
        self._policy = BreakerPolicy(breaker.failures, breaker.open_s, breaker.successes)
        self._capabilities = capabilities
        self._make = make
        self._clock = clock
        self._moved = moved
        self._let_go = let_go
        self._configured = {f"{name}/{model}" for name, config in providers.items() for model in config.models}
        self._kept: dict[str, Gates] = {}
        """Of configured targets."""
        self._named: dict[str, Gates] = {}
        """Of others, the longest unused first."""
        self._own: dict[tuple[str, str], Gate] = {}
        """Of tenants' own credentials, by target and reference, the longest unused first."""

    def target(self, ref: str, limits: Limits | None = None) -> ChainTarget:
        """`provider/model` with its lanes.

        Raises:
            NotFound: as `make`.
        """
        provider, _, model = ref.partition("/")
        lanes = tuple([Lane(self._make(ref, reference, limits, gate), gate) for reference, gate in self.gates(ref)])
        return ChainTarget(ref, lanes, self._capabilities.of(provider, model), partial(self.own, ref, limits))

    def own(self, ref: str, limits: Limits | None, reference: str) -> Lane:
        """The lane to `provider/model` with a credential of a tenant's own."""
        gate = self.own_gate(ref, reference)
        return Lane(self._make_own(ref, reference, limits, gate), gate)

    def own_gate(self, ref: str, reference: str) -> Gate:
        """The gate of such a lane; one for all who have that credential."""
        gate = self._own.pop((ref, reference), None)
        if gate is None:
            gate = Gate(ref, reference, self._policy, self._clock, self._moved)
            if len(self._own) >= MAX_OWN:
                oldest = next(iter(self._own))
                going = next((key for key, gate in self._own.items() if _idle(gate)), oldest)
                del self._own[going]
                self._let_go(going[0])
        self._own[ref, reference] = gate
        return gate

    def keep(self, ref: str) -> None:
        """Counts `provider/model` among the configured targets from now on."""
        self._configured.add(ref)
        if (gates := self._named.pop(ref, None)) is not None:
            self._kept[ref] = gates

    def configured(self, ref: str) -> bool:
        """Whether the configuration names the target: in an agent's chain, or among its provider's models."""
        return ref in self._configured

    def used(self, ref: str) -> None:
        """A target was asked again by somebody who has its gates."""
        if (gates := self._named.pop(ref, None)) is not None:
            self._named[ref] = gates

    def gates(self, ref: str) -> Gates:
        """The gates of `provider/model`; those of a provider that does not exist are not kept."""
        gates = self._kept.get(ref)
        if gates is None and (gates := self._named.pop(ref, None)) is not None:
            self._named[ref] = gates
        return gates if gates is not None else self._new(ref)

    def states(self, provider: str) -> list[GateState]:
        """The gates of a provider that have been asked for, by target and credential; those of the installation's."""
        return [gate.state for gate in _sorted(self._installations(), provider)]

    def own_states(self, provider: str) -> list[GateState]:
        """Likewise, those of tenants' own credentials."""
        return [gate.state for gate in _sorted(self._own.values(), provider)]

    def reset(self, target: str | None) -> int:
        """Closes the gates of a target, or all of them; how many were not open to everybody.

        Raises:
            KeyError: the target has not been asked for.
        """
        gates = [gate for gate in (*self._installations(), *self._own.values()) if target in (None, gate.target)]
        if target is not None and not gates:
            raise KeyError(target)
        return sum([gate.reset() for gate in gates])

    def _installations(self) -> Iterable[Gate]:
        return (gate for gates in (*self._kept.values(), *self._named.values()) for _, gate in gates)

    def _new(self, ref: str) -> Gates:
        config = self._providers.get(ref.partition("/")[0])
        references = (None,) if config is None else (config.api_key, *config.more_api_keys)
        gates = tuple(
            (reference, Gate(ref, reference or "", self._policy, self._clock, self._moved)) for reference in references
        )
        if ref in self._configured:
            self._kept[ref] = gates
        elif config is not None:
            if len(self._named) >= MAX_NAMED:
                self._make_room()
            self._named[ref] = gates
        return gates

    def _make_room(self) -> None:
        """Lets the longest unused target go whose gates let everybody through; the longest unused where none does."""
        oldest = next(iter(self._named))
        going = next((ref for ref, gates in self._named.items() if all(_idle(gate) for _, gate in gates)), oldest)
        del self._named[going]
        self._let_go(going)


def _sorted(gates: Iterable[Gate], provider: str) -> list[Gate]:
    found = [gate for gate in gates if gate.target.startswith(f"{provider}/")]
    return sorted(found, key=lambda gate: (gate.target, gate.credential))


def _idle(gate: Gate) -> bool:
    """Whether the gate is closed and not paused, so that nothing is lost with it."""
    return not gate.wait_s() and gate.state.state == "closed"
