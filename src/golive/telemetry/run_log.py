"""What of a run's journal an operator reads in the log: ends, failed model calls, alarms, decisions. Never content."""

from collections.abc import Mapping, Sequence
from typing import Any

from golive.core.events import AlarmRaised, Body, DecisionMade, DecisionRequested, ModelFailed, RunFinished
from golive.telemetry.logs import Log


def without_content(event: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of a worker, without what its tools said: of a line its length, of a trace what `at` tells."""
    kept = dict(fields)
    if event == "worker.printed":
        kept["chars"] = len(kept.pop("line"))
    elif event == "tool.raised":
        kept.pop("traceback", None)
    return kept


class RunLog:
    """Writes log lines for events that have just become durable."""

    def __init__(self, log: Log, *, content: bool = False) -> None:
        """`content`: also what providers said, in whose words a user's may be."""
        self._log = log
        self._content = content

    def finish_unrecognised(self, target: str, request_id: str | None, word: str) -> None:
        """A model's answer ended with a word of the vendor's that is not known; it was kept, as cut short."""
        self._log.warning("model.finish_unrecognised", target=target, request_id=request_id, finish_reason=word)

    def observe(
        self, tenant: str, run: str, version: str, bodies: Sequence[Body], *, relayed: bool, user: str = ""
    ) -> None:
        """Takes the events of one run. `relayed` calls that went well are not worth a line each.

        Args:
            user: whom the run is for; "": nobody in particular.
        """
        of = {"tenant": tenant, "run": run, "version": version}
        if user:
            of["user"] = user
        for body in bodies:
            match body:
                case RunFinished():
                    if relayed and body.outcome == "completed":
                        continue
                    self._log.info(
                        "run.finished", **of, outcome=body.outcome,
                        reason=body.reason, steps=body.steps, cost_microusd=body.cost_microusd,
                        estimated=body.usage_estimated, duration_ms=body.duration_ms,
                    )  # fmt: skip
                case ModelFailed():
                    self._log.warning(
                        "model.failed", **of, target=body.target, code=body.code,
                        status=body.status, request_id=body.request_id,
                        **({"vendor_message": body.vendor_message} if self._content else {}),
                        message=body.message if body.vendor_message is None else None,
                    )  # fmt: skip
                case AlarmRaised():
                    self._log.error("alarm.raised", **of, alarm=body.alarm, message=body.message)
                case DecisionRequested():
                    self._log.warning(
                        "decision.requested", **of, decision=body.id,
                        about=body.about, subject=body.subject or None, key=body.key or None, default=body.default,
                        expires_at=body.expires_at,
                        remedy=f"golive runs decide {run} {body.id} {'|'.join(body.choices)}",
                    )  # fmt: skip
                case DecisionMade():
                    self._log.info(
                        "decision.made", **of, decision=body.id, choice=body.choice,
                        by=body.by,
                    )  # fmt: skip
                case _:
                    pass
