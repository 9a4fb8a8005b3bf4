"""What may stand in [webhooks] and [schedules] of golive.toml: whom golive tells, and what it begins by itself."""

from typing import Annotated, Literal

from pydantic import Field

from golive.config.section import ADDRESS, TENANT_PATTERN, Name, Seconds, SecretRef, Section
from golive.core.events import Outcome

WAITS_S = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0, 36_000.0)


class WebhookConfig(Section):
    """[webhooks.NAME]: an address that is told when runs finish, or wait for a decision."""

    url: Annotated[str, Field(pattern=ADDRESS)]
    """Where each message is sent to, with POST. Redirects are not followed."""
    secret: SecretRef
    """Reference to the key that messages are signed with, as Standard Webhooks write it: `whsec_` and 24 to 64 bytes in
    base64."""
    old_secret: SecretRef | None = None
    """Reference to the key before it: while receivers change over, messages carry a signature by each."""
    topics: Annotated[tuple[Literal["run.finished", "run.waiting"], ...], Field(min_length=1)] = ("run.finished",)
    """What it is told of: `run.finished`; `run.waiting`: a run waits for somebody to decide something."""
    tenants: Annotated[tuple[Annotated[str, Field(pattern=TENANT_PATTERN)], ...], Field(min_length=1)] = ("default",)
    """Of whose runs it is told: tenants by name or by the beginning of their names (`shop-*`); `*` for all of them.
    What is told says whose it is (`data.tenant`)."""
    agents: tuple[Name, ...] = ()
    """Of agents' runs, only those of these agents; of all when empty."""
    outcomes: tuple[Outcome, ...] = ()
    """Only runs that finished so; however they did when empty."""
    relayed: bool = False
    """Whether plain calls to a provider's model are told of, too; without text, for none is kept."""
    content: bool = True
    """Whether what the agent said goes along (text, output, message, a decision's question), or only how it ended."""
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 15.0
    """Longest wait for an answer; whatever it says, 2xx means that the message has come."""
    waits_s: Annotated[tuple[Seconds, ...], Field(max_length=20)] = WAITS_S
    """How long after each failed attempt the next one is made, times 0.8 to 1.2 at random; after the last one the
    message is dead. A receiver's own Retry-After stands above it."""


class ScheduleConfig(Section):
    """[schedules.NAME]: runs that golive begins by the clock."""

    agent: Name
    """Whose run it is."""
    tenant: Name = "default"
    """In which tenant the run is begun: what it says and costs is that tenant's. While that is suspended, none is."""
    cron: str
    """When: five fields (minute, hour, day of the month, month, day of the week), such as `0 7 * * MON-FRI`."""
    timezone: str = "UTC"
    """In which zone the fields are read, such as `Europe/Berlin`. What falls into the hour that a clock skips comes at
    its end; what falls into the hour that it repeats comes once, unless minute or hour is a `*`."""
    input: str
    """What the run begins with: a text."""
    conversation_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """The conversation that each run continues; a fresh start when absent."""
    deadline_s: Seconds | None = None
    """No more than this many seconds a run; the agent's own limit when absent."""
    enabled: bool = True
    """Whether runs are begun. By hand they can be either way."""
    catch_up: Literal["latest", "none"] = "latest"
    """When no server ran at the time: `latest` begins one run for the last time that was missed, `none` goes on with
    the next. Up to a minute late is not missed."""
