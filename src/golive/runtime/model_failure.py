"""What the journal says of a model call's attempt that failed, and the alarms that go with what an attempt tells."""

from typing import Any

from golive.core.errors import GoliveError, ModelError, ModelIncapable
from golive.core.events import AlarmRaised, Body, ModelFailed
from golive.core.messages import Usage
from golive.models.call import Metered
from golive.runtime.interrupt import Interrupted


def failed_attempt(
    step: int, attempt: int, target: str, error: BaseException | None, metered: Metered | None, *,
    code: str = "", latency_ms: float = 0.0, wait_s: float = 0.0,
) -> list[Body]:  # fmt: skip
    """The event, and the alarms behind it.

    `error` None: the reader went away. `code` stands before the error's own, `latency_ms` where nothing was metered.
    """
    own_code, message, fields = _words(error)
    failed = ModelFailed(
        step,
        attempt,
        target,
        code or own_code,
        message,
        fields.get("status"),
        fields.get("vendor_code"),
        fields.get("vendor_message"),
        fields.get("request_id"),
        fields.get("vendor_retry_after_s", fields.get("retry_after_s")),
        metered.latency_ms if metered else latency_ms,
        metered.usage if metered else Usage(),
        metered.cost_microusd if metered else 0,
        metered.priced if metered else True,
        metered.estimated if metered else False,
        wait_s,
    )
    alarms = [breaker_alarm(target, message, fields), price_alarm(metered)]
    return [failed, *(alarm for alarm in alarms if alarm is not None)]


def price_alarm(metered: Metered | None) -> AlarmRaised | None:
    """The alarm that tokens without a price raise: a cost of 0 must never pass for cheap."""
    if metered is None:
        return None
    tokens = metered.usage.input_tokens + metered.usage.output_tokens
    if metered.priced or not tokens:
        return None
    return AlarmRaised(
        "price.missing",
        f'No price is known for {metered.target}: {tokens} tokens were counted at $0. Set [prices."{metered.target}"].',
        {"target": metered.target, "tokens": str(tokens)},
    )


def breaker_alarm(target: str, message: str, fields: dict[str, Any]) -> AlarmRaised | None:
    """The alarm of the attempt that opened a circuit breaker."""
    if fields.get("breaker") != "opened":
        return None
    return AlarmRaised(
        "breaker.opened",
        f"{target} failed too often in a row and is not asked for a while. The last failure: {message}",
        {"target": target},
    )


def _words(error: BaseException | None) -> tuple[str, str, dict[str, Any]]:
    """What the journal says of a failure: code, message, the vendor's own fields. Where nobody but the operator can
    help (a secret that is not set, a model that cannot do it), the message says what to do."""
    if error is None:
        return "disconnected", "The client went away.", {}
    if isinstance(error, ModelError) and not isinstance(error, ModelIncapable):
        return error.code, error.message, error.fields
    if isinstance(error, GoliveError):
        return error.code, str(error), {}
    given_up = isinstance(error, Interrupted) or not isinstance(error, Exception)
    return ("cancelled" if given_up else "internal"), "The call was given up.", {}
