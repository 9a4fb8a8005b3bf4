"""What may stand in [retry] and [breaker] of golive.toml: what becomes of calls to providers that fail."""

from typing import Annotated

from pydantic import Field

from golive.config.section import Seconds, Section


class RetryConfig(Section):
    """[retry]: trying again once every target of a chain has failed. Another target is always asked at once."""

    retries: Annotated[int, Field(ge=0, le=10)] = 3
    """How often an agent's model call is tried again."""
    relay_retries: Annotated[int, Field(ge=0, le=10)] = 0
    """The same for a call to a provider's model by a client of its own: most clients try again by themselves."""
    first_s: Seconds = 1.0
    """Wait before the first retry; it doubles with each, and is multiplied by 0.5 to 1.5 at random."""
    most_s: Seconds = 60.0
    """Longest wait, and the longest Retry-After that is waited for."""
    share: Annotated[float, Field(ge=0, le=10)] = 0.2
    """Retries allowed per call, over all calls: a share of 0.2 lets an outage raise the traffic by a fifth at most."""
    reserve: Annotated[float, Field(ge=0, le=10_000)] = 10.0
    """Retries allowed at once before the share counts, and the most that is saved up."""


class BreakerConfig(Section):
    """[breaker]: the circuit breaker of each model, for each credential."""

    failures: Annotated[int, Field(ge=1, le=1_000)] = 5
    """Failed attempts in a row that open it: from then on nobody is sent there."""
    open_s: Seconds = 30.0
    """How long it stays open; then one attempt at a time is let through to see."""
    successes: Annotated[int, Field(ge=1, le=100)] = 3
    """Attempts that must succeed to close it."""
