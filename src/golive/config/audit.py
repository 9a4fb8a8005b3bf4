"""What may stand in [audit]: what is recorded, for how long, and what happens when nothing can be recorded."""

from typing import Annotated, Literal

from pydantic import Field

from golive.config.section import Seconds, Section
from golive.core.verbs import Verb


class AuditConfig(Section):
    """[audit]: the log of who did what. Acts (`*.manage`, decisions, cancels …) and denials are always recorded."""

    on_full: Literal["refuse", "drop"] = "refuse"
    """When the database takes no entries and 10,000 wait. `refuse`: requests are answered 503 until it does, as nothing
    may be done unrecorded. `drop`: they are let in, and how many entries were lost is recorded later. Acts are refused
    either way."""
    leave_out: tuple[Verb, ...] = ("health.read", "metrics.read", "docs.read")
    """Verbs whose permitted uses are not recorded; reads only."""
    sum_up: tuple[Verb, ...] = ("agents.read", "models.read", "runs.read", "schedules.read", "webhooks.read")
    """Verbs whose permitted uses by the same one, on the same thing and from the same address become one entry for
    `sum_up_s`, with their number; reads only."""
    sum_up_s: Seconds = 10.0
    """For how long uses are summed up, and attempts without a valid credential from one address."""
    keep_days: Annotated[float, Field(gt=0, le=36_500)] | None = None
    """How long entries are kept; for ever when absent. What goes leaves a signed mark, from which the rest verifies."""
    proxies: tuple[str, ...] = ()
    """Addresses or networks (`10.0.0.0/8`) of proxies whose X-Forwarded-For tells where a request came from; nobody
    else's is believed."""
    trusted_keys: tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...] = ()
    """Public keys of earlier audit keys (`golive audit key`), whose signatures still count."""
