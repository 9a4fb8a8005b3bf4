"""What a target can do, as the operator says in [capabilities."PATTERN"]: asked before a request is sent to it.

Nothing here asks a provider. What no section says is taken to be possible, since a provider's refusal costs less than a
target that is never used; a prefill alone must be said to be possible, because a target that does not know it answers
something else instead of refusing.
"""

from collections.abc import Mapping

from msgspec import Struct, structs

from golive.config.schema import CapabilityConfig
from golive.models.patterns import ByPattern

MAX_KEPT = 10_000
"""Targets whose capabilities are remembered; more are put together each time."""


class ModelCapabilities(Struct, frozen=True, kw_only=True):
    """What one target takes. Sizes are tokens; None: not known."""

    tools: bool = True
    images: bool = True
    structured_output: bool = True
    """`response_format` with a JSON Schema."""
    reasoning: bool = True
    """`reasoning_effort`."""
    prefill: bool = False
    """Goes on writing where an assistant's message at the end of the request stops."""
    embeddings: bool = True
    context_window: int | None = None
    """Input and output together."""
    max_output_tokens: int | None = None


class Capabilities:
    """Finds what a target can do. Each setting comes from the most specific pattern that sets it."""

    def __init__(self, sections: Mapping[str, CapabilityConfig]) -> None:
        self._sections = ByPattern(sections)
        self._known: dict[str, ModelCapabilities] = {}

    def of(self, provider: str, model: str) -> ModelCapabilities:
        """What this target can do; defaults where no section says."""
        target = f"{provider}/{model}"
        found = self._known.get(target)
        if found is None:
            found = self._find(target)
            if len(self._known) < MAX_KEPT:
                self._known[target] = found
        return found

    def _find(self, target: str) -> ModelCapabilities:
        found = ModelCapabilities()
        for section in reversed(list(self._sections.all_of(target))):
            found = structs.replace(found, **{name: getattr(section, name) for name in section.model_fields_set})
        return found
