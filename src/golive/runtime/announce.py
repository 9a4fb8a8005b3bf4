"""Which webhook is told of which event, and in what words. Sending is `webhooks.py`'s.

A message is made when its event is noted and becomes durable together with it: so none is lost, and none is sent of
what did not happen.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from golive.config.outward import WebhookConfig
from golive.core.clock import Clock
from golive.core.events import Body, DecisionRequested, RunAccepted, RunFinished
from golive.core.ids import Ids
from golive.runtime.api import RunResult
from golive.runtime.state import RunState
from golive.store.ports import OutboxMessage
from golive.tenants.roles import covers

FINISHED, WAITING, TEST = "run.finished", "run.waiting", "golive.test"
_CONTENT = ("text", "output", "message", "decisions")
"""What of a run is, or quotes, what was said in it."""

_encode = msgspec.json.Encoder().encode


class Announcer:
    """Keeps `runtime.journal.Announce`."""

    def __init__(
        self, webhooks: Callable[[], Mapping[str, WebhookConfig]], result: Callable[[RunState], RunResult],
        clock: Clock, ids: Ids,
    ) -> None:  # fmt: skip
        """Takes what it asks.

        Args:
            webhooks: those there are now, by name.
            result: a run as its faces show it.
        """
        self._webhooks = webhooks
        self._result = result
        self._clock = clock
        self._ids = ids

    def __call__(self, state: RunState, body: Body) -> tuple[OutboxMessage, ...]:
        """A message for each webhook that asks for it; the event has just been applied to `state`."""
        if not isinstance(body, RunFinished | DecisionRequested) or not self._webhooks():
            return ()
        return tuple(self._messages(state, body))

    def _messages(self, state: RunState, body: RunFinished | DecisionRequested) -> Iterator[OutboxMessage]:
        now = self._clock.now()
        topic = FINISHED if isinstance(body, RunFinished) else WAITING
        told: dict[bool, bytes] = {}
        for name, webhook in self._webhooks().items():
            if not wants(webhook, state.tenant, state.accepted, topic, body):
                continue
            if webhook.content not in told:
                told[webhook.content] = message(topic, now, self._data(state, body, webhook.content))
            yield OutboxMessage(
                state.tenant, state.run, "", state.version, state.epoch, self._ids.new("msg"), now, topic, name, 0.0,
                told[webhook.content],
            )  # fmt: skip

    def _data(self, state: RunState, body: RunFinished | DecisionRequested, content: bool) -> dict[str, Any]:
        data: dict[str, Any] = msgspec.to_builtins(self._result(state)) | {"tenant": state.tenant}
        if isinstance(body, DecisionRequested):
            data["decision"] = msgspec.to_builtins(body)
        if not content:
            for name in _CONTENT:
                data.pop(name, None)
            if "decision" in data:
                data["decision"].pop("question", None)
        return data


def wants(webhook: WebhookConfig, tenant: str, accepted: RunAccepted | None, topic: str, body: Body) -> bool:
    """Whether the webhook asks to be told of this event of the tenant's run."""
    if accepted is None or topic not in webhook.topics or not covers(webhook.tenants, tenant):
        return False
    if accepted.source == "relay":
        if not webhook.relayed:
            return False
    elif webhook.agents and accepted.agent not in webhook.agents:
        return False
    return not webhook.outcomes or not isinstance(body, RunFinished) or body.outcome in webhook.outcomes


def message(topic: str, at: float, data: Mapping[str, Any]) -> bytes:
    """The body that is sent. `at`: wall time, seconds.

    Source: Standard Webhooks, payload structure (https://www.standardwebhooks.com).
    """
    timestamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return _encode({"type": topic, "timestamp": timestamp, "data": data})
