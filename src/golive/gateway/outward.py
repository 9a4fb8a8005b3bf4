"""The faces of what golive does of its own accord."""

from collections.abc import Callable

from golive.config.schema import GoliveConfig
from golive.core.clock import Clock
from golive.core.ids import Ids
from golive.gateway.schedules import ScheduleFaces
from golive.gateway.webhooks import WebhookFaces
from golive.runtime.outward import Outward
from golive.runtime.service import Runtime
from golive.store.ports import Store


def outward_faces(
    outward: Outward, runtime: Runtime, store: Store, config: Callable[[], GoliveConfig], clock: Clock, ids: Ids
) -> tuple[WebhookFaces, ScheduleFaces]:
    """Both, over one server's parts. `config`: the settings as they are now."""
    webhooks = WebhookFaces(
        webhooks=lambda: config().webhooks, store=store, deliver=outward.post.deliver, wake=outward.sender.wake,
        clock=clock, ids=ids,
    )  # fmt: skip
    schedules = ScheduleFaces(
        schedules=outward.scheduler.of, rows=outward.scheduler.rows, run_now=outward.scheduler.run_now,
        result=runtime.result,
    )  # fmt: skip
    return webhooks, schedules
