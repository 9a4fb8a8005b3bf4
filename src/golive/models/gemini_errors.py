"""What Google's APIs say when they refuse, to our error tree. Decides on status words and reasons; on text only for
a context that is too long (`too_long.py`).

Source: https://cloud.google.com/apis/design/errors (google.rpc.Status and its details, `google.api.ErrorReason`) and
https://ai.google.dev/gemini-api/docs/troubleshooting, both November 2026.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from golive.core.errors import (
    ContextTooLong,
    ModelAuthFailed,
    ModelBadRequest,
    ModelError,
    ModelNotFound,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
)
from golive.models.too_long import says_too_long
from golive.models.vendor_errors import (
    MAX_RETRY_AFTER_S,
    Complaint,
    Origin,
    from_status,
    from_stream,
    retry_after_s,
    vendor_error,
)

_BY_WORD: dict[str, type[ModelError]] = {
    "INVALID_ARGUMENT": ModelBadRequest,
    "OUT_OF_RANGE": ModelBadRequest,
    "FAILED_PRECONDITION": ModelAuthFailed,  # the account: no free tier in this country, billing is not set up
    "UNAUTHENTICATED": ModelAuthFailed,
    "PERMISSION_DENIED": ModelAuthFailed,
    "NOT_FOUND": ModelNotFound,
    "RESOURCE_EXHAUSTED": ModelRateLimited,
    "DEADLINE_EXCEEDED": ModelTimeout,
    "UNAVAILABLE": ModelUnavailable,
    "INTERNAL": ModelUnavailable,
    "UNKNOWN": ModelUnavailable,
    "ABORTED": ModelUnavailable,
    "CANCELLED": ModelUnavailable,
    "DATA_LOSS": ModelUnavailable,
    "UNIMPLEMENTED": ModelUnavailable,
}
_BY_REASON: dict[str, type[ModelError]] = {
    "RATE_LIMIT_EXCEEDED": ModelRateLimited,
    "RESOURCE_QUOTA_EXCEEDED": ModelRateLimited,
} | dict.fromkeys(
    (
        "API_KEY_INVALID", "API_KEY_SERVICE_BLOCKED", "API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED",
        "API_KEY_ANDROID_APP_BLOCKED", "API_KEY_IOS_APP_BLOCKED", "SERVICE_DISABLED", "BILLING_DISABLED",
        "CONSUMER_INVALID", "CONSUMER_SUSPENDED", "USER_PROJECT_DENIED", "CREDENTIALS_MISSING",
        "ACCESS_TOKEN_EXPIRED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "ACCESS_TOKEN_TYPE_UNSUPPORTED",
        "ACCOUNT_STATE_INVALID",
    ),
    ModelAuthFailed,
)  # fmt: skip
"""`ErrorInfo.reason`, which says better than the status: an invalid key comes as 400 INVALID_ARGUMENT."""
_PER_DAY = "PerDay"
"""In the id of a quota that a short wait does not give back."""


def from_answer(
    origin: Origin, status: int, header: Callable[[str], str | None], body: bytes, now: float
) -> ModelError:
    """The error of an answer of status 300 and above; see `dialect.Dialect.refusal`."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        decoded = None
    if status >= 400:
        error = _google_error(origin, _status_object(decoded), status, retry_after_s(header, now))
        if error is not None:
            return error
    return from_status(origin, status, header, body, now)


def from_event(origin: Origin, error: Any) -> ModelError:
    """The error that the value of an `error` field inside an answer stands for."""
    return _google_error(origin, _status_object(error), None, None) or from_stream(origin, error)


def _status_object(body: Any) -> dict[str, Any]:
    """The google.rpc.Status in a body: bare, under `error`, or in a list, as a stream without `alt=sse` has it."""
    if isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict) and isinstance(body.get("error"), dict):
        body = body["error"]
    return body if isinstance(body, dict) else {}


def _google_error(origin: Origin, error: dict[str, Any], status: int | None, wait_s: float | None) -> ModelError | None:
    """None where neither a reason nor a status word is known, so that another reading may find more."""
    word, message = error.get("status"), error.get("message")
    details = list(_details(error))
    reason = next((given for detail in details if isinstance(given := detail.get("reason"), str) and given), None)
    codes = tuple(code for code in (reason, word) if isinstance(code, str) and code)
    kind = next((table[code] for table in (_BY_REASON, _BY_WORD) for code in codes if code in table), None)
    if kind is None:
        return None
    for detail in details:
        delay_s = _seconds(detail.get("retryDelay"))
        wait_s = wait_s if delay_s is None else delay_s
    complaint = Complaint(message if isinstance(message, str) else None, codes)
    if kind is ModelBadRequest and says_too_long(_code(error, status), codes, complaint.message):
        kind = ContextTooLong
    found = vendor_error(origin, kind, status, complaint, wait_s)
    if kind is ModelRateLimited and any(_PER_DAY in quota for detail in details for quota in _quotas(detail)):
        found.fields["quota_exhausted"] = True
    return found


def _code(error: dict[str, Any], status: int | None) -> int | None:
    """The status of the answer; of an error inside one, what it says itself."""
    code = error.get("code") if status is None else status
    return code if isinstance(code, int) else None


def _details(error: dict[str, Any]) -> Iterator[dict[str, Any]]:
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            yield detail


def _quotas(detail: dict[str, Any]) -> Iterator[str]:
    """The ids in a google.rpc.QuotaFailure, such as GenerateRequestsPerDayPerProjectPerModel-FreeTier."""
    violations = detail.get("violations")
    for violation in violations if isinstance(violations, list) else ():
        if isinstance(violation, dict) and isinstance(quota := violation.get("quotaId"), str):
            yield quota


def _seconds(duration: Any) -> float | None:
    """A google.protobuf.Duration as JSON has it, "37s" or "1.5s"; None for anything else."""
    if not isinstance(duration, str) or not duration.endswith("s"):
        return None
    try:
        seconds = float(duration[:-1][:32])
    except ValueError:
        return None
    return min(seconds, MAX_RETRY_AFTER_S) if seconds >= 0 and math.isfinite(seconds) else None
