"""From what a provider says when it refuses, to our error tree. Decides on status and codes; on text only for a
context that is too long (`too_long.py`).

Owns the table of codes, Retry-After, request ids, and keeping credentials out of what is passed on.
"""

import re
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from golive.core.disguises import Finder, disguises
from golive.core.errors import (
    ContentRefused,
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

MAX_VENDOR_MESSAGE = 500
"""Characters of a vendor's message that are kept."""
MAX_VENDOR_CODE = 100
MAX_RETRY_AFTER_S = 86_400.0

_REQUEST_ID_HEADERS = ("x-request-id", "request-id", "apim-request-id", "x-amzn-requestid", "x-ms-request-id", "cf-ray")

_BAD_IMAGES = (
    "invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "invalid_image_mode",
    "image_too_large", "image_too_small", "image_parse_error", "image_file_too_large", "image_file_not_found",
    "unsupported_image_media_type", "empty_image_file", "failed_to_download_image",
)  # fmt: skip
_BY_CODE: dict[str, type[ModelError]] = {
    "context_length_exceeded": ContextTooLong,
    "exceed_context_size_error": ContextTooLong,  # llama.cpp's server
    "request_too_large": ContextTooLong,
    "content_filter": ContentRefused,
    "content_policy_violation": ContentRefused,
    "content_policy": ContentRefused,
    "moderation_blocked": ContentRefused,
    "responsibleaipolicyviolation": ContentRefused,  # Azure's inner error
    "invalid_prompt": ContentRefused,  # OpenAI's word for a prompt against its policy
    "bio_policy": ContentRefused,
    "misalignment_policy_violation": ContentRefused,
    "image_content_policy_violation": ContentRefused,
    "insufficient_quota": ModelRateLimited,
    "billing_hard_limit_reached": ModelRateLimited,
    "billing_error": ModelRateLimited,  # Anthropic
    "rate_limit_exceeded": ModelRateLimited,
    "rate_limit_error": ModelRateLimited,
    "too_many_requests": ModelRateLimited,
    "invalid_api_key": ModelAuthFailed,
    "authentication_error": ModelAuthFailed,
    "permission_error": ModelAuthFailed,
    "model_not_found": ModelNotFound,
    "not_found_error": ModelNotFound,
    "deploymentnotfound": ModelNotFound,  # Azure
    "server_error": ModelUnavailable,
    "internal_server_error": ModelUnavailable,
    "api_error": ModelUnavailable,
    "overloaded_error": ModelUnavailable,
    "engine_overloaded": ModelUnavailable,
    "service_unavailable": ModelUnavailable,
    "timeout": ModelUnavailable,
    "timeout_error": ModelUnavailable,  # Anthropic
    "conflict_error": ModelUnavailable,  # Anthropic
    "invalid_request_error": ModelBadRequest,
    "badrequesterror": ModelBadRequest,  # vLLM
    "data_residency_mismatch": ModelBadRequest,
    **dict.fromkeys(_BAD_IMAGES, ModelBadRequest),
}
_BY_STATUS: dict[int, type[ModelError]] = {
    401: ModelAuthFailed,
    402: ModelRateLimited,  # the account is empty: another provider may serve
    403: ModelAuthFailed,
    404: ModelNotFound,
    405: ModelNotFound,
    408: ModelTimeout,
    409: ModelUnavailable,  # OpenAI's lock timeouts
    410: ModelNotFound,
    413: ContextTooLong,
    425: ModelUnavailable,
    429: ModelRateLimited,
}
_QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_error"})
_SPECIFIC = (ContextTooLong, ContentRefused, ModelNotFound)
"""Kinds a vendor's code may turn a status into; everything else the status says better."""

_REMEDIES: dict[type[ModelError], str] = {
    ContextTooLong: "Shorten the conversation, or use a model with a larger context window.",
    ContentRefused: "The provider's content filter refused; change the input or use another provider.",
    ModelAuthFailed: "Check the api_key reference of providers.{provider} and what the key may use.",
    ModelNotFound: "Check the model's name and base_url of providers.{provider}.",
    ModelRateLimited: "Wait, raise the limit with the provider, or add another target to the chain.",
    ModelBadRequest: "Correct the request as the provider's message says.",
    ModelUnavailable: "Try again later, or add another target to the chain.",
    ModelTimeout: "Try again, or add another target to the chain.",
}

_KEY_LIKE = re.compile(
    r"(?:\b(?:sk|pk|rk|gsk|xai|hf|nvapi|csk|r8|pplx|AIza|ghp|key)[-_]?[A-Za-z0-9*]*[-_*0-9][-_A-Za-z0-9*.]{5,})"
    r"|(?i:\bbearer\s+\S+)|(?:\S*\*{3,}\S*)"
)

_SECRET = "[secret]"  # noqa: S105 - what stands in the place of one


class Origin:
    """Whose answer this is, for every error made about it. Knows the credential only to keep it out of texts."""

    __slots__ = ("_secret", "model", "provider", "request_id")

    def __init__(self, provider: str, model: str, *, secret: str | None = None, request_id: str | None = None) -> None:
        self.provider = provider
        self.model = model
        self.request_id = request_id
        self._secret = secret

    def redact(self, text: str, limit: int = MAX_VENDOR_MESSAGE) -> str:
        """The text without anything that looks like a credential, cut to `limit` characters."""
        if self._secret:
            forms = Finder()
            forms.add(disguises(self._secret))
            text = forms.replaced(text[: limit * 8], _SECRET).replace(self._secret, _SECRET)
        text = _KEY_LIKE.sub(_SECRET, _utf8(text[: limit * 4]))
        return text if len(text) <= limit else text[: limit - 1] + "…"

    def error(self, kind: type[ModelError], message: str, *, remedy: str = "", **fields: Any) -> ModelError:
        """An error of the tree about this provider and model."""
        known: dict[str, Any] = {
            "provider": self.provider, "model": self.model, "status": None, "vendor_code": None, "vendor_message": None,
            "request_id": self.request_id, "retry_after_s": None,
        }  # fmt: skip
        return kind(
            f"{self.provider}/{self.model} {message}",
            remedy=remedy or _REMEDIES.get(kind, "").format(provider=self.provider),
            **(known | fields),
        )


class Complaint(msgspec.Struct, frozen=True):
    """What a vendor's error object says, in whichever of the usual shapes."""

    message: str | None = None
    codes: tuple[str, ...] = ()
    status: int | None = None


def request_id(header: Callable[[str], str | None]) -> str | None:
    """The vendor's id of the request, from whichever header carries it."""
    for name in _REQUEST_ID_HEADERS:
        value = header(name)
        if value:
            return _utf8(value[:200])
    return None


def retry_after_s(header: Callable[[str], str | None], now: float) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `Retry-After` (seconds or a date); None where neither can be read.

    Source: RFC 9110 section 10.2.3; `retry-after-ms` as OpenAI's and Azure's servers send it.
    """
    milliseconds = _number(header("retry-after-ms"))
    if milliseconds is not None:
        return min(milliseconds / 1000, MAX_RETRY_AFTER_S)
    value = header("retry-after")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is None:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)


def from_status(
    origin: Origin, status: int, header: Callable[[str], str | None], body: bytes, now: float
) -> ModelError:
    """The error an answer of status 300 and above stands for.

    Args:
        body: as much of it as was read; any format.
        now: wall time, seconds, for dates in Retry-After.
    """
    complaint = _complaint(_json(body))
    if complaint is None:
        text = body[: MAX_VENDOR_MESSAGE * 4].decode("utf-8", "replace").strip()
        complaint = Complaint(message=None if text.startswith("<") else text or None)
    if status < 400:
        place = header("location") or "another address"
        return origin.error(
            ModelError, f"redirected ({status}) to {origin.redact(place, 200)}; golive follows no redirects",
            remedy=f"Set base_url of providers.{origin.provider} to the final address.", status=status, sent=True,
        )  # fmt: skip
    kind = _kind(status, complaint)
    return vendor_error(origin, kind, status, complaint, retry_after_s(header, now))


def from_stream(origin: Origin, error: Any) -> ModelError:
    """The error an `{"error": …}` object inside an answer stands for. Without a code it is the provider's own fault."""
    complaint = _complaint({"error": error}) or Complaint()
    if complaint.status is not None:
        kind = _kind(complaint.status, complaint)
    else:
        kind = next((_BY_CODE[code.lower()] for code in complaint.codes if code.lower() in _BY_CODE), ModelUnavailable)
    return vendor_error(origin, kind, None, complaint, None)


def _kind(status: int, complaint: Complaint) -> type[ModelError]:
    for code in complaint.codes:
        named = _BY_CODE.get(code.lower())
        if named is not None and issubclass(named, _SPECIFIC) and status < 500:
            return named
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if says_too_long(status, complaint.codes, complaint.message):
        return ContextTooLong
    return ModelUnavailable if status >= 500 else ModelBadRequest


def vendor_error(
    origin: Origin, kind: type[ModelError], status: int | None, complaint: Complaint, wait_s: float | None
) -> ModelError:
    """The error of one kind, with the vendor's own words and first code.

    Args:
        status: of the answer; None when the error stood inside one.
        wait_s: seconds the vendor asks to wait, or None.
    """
    code = origin.redact(complaint.codes[0], MAX_VENDOR_CODE) if complaint.codes else None
    words = origin.redact(complaint.message) if complaint.message else None
    answered = f"answered {status}" if status is not None else "broke off with an error"
    fields: dict[str, Any] = {"status": status, "vendor_code": code, "vendor_message": words, "retry_after_s": wait_s}
    remedy = ""
    if any(code in _QUOTA_CODES for code in complaint.codes) or status == 402:
        fields["quota_exhausted"] = True
        remedy = f"The account's quota is used up: top it up with {origin.provider}, or add a target to the chain."
    if kind is ModelTimeout:
        fields["limit"] = "the provider's own"
    message = answered + (f" ({code})" if code else "") + (f": {words}" if words else ".")
    return origin.error(kind, message, remedy=remedy, **fields)


def _complaint(body: Any) -> Complaint | None:
    """Reads OpenAI's {"error": {message, type, code}} and its relatives: a list around it (Gemini), a bare text, the
    fields on top (vLLM, Mistral), FastAPI's `detail`."""
    if isinstance(body, list):
        body = body[0] if body else None
    if not isinstance(body, dict):
        return None
    error = body.get("error", body)
    if isinstance(error, str):
        return Complaint(message=error)
    if not isinstance(error, dict):
        return None
    message = error.get("message", error.get("detail"))
    codes: list[str] = []
    status = None
    inner = error.get("innererror")
    word = error.get("status")  # Google's, whose endpoint for OpenAI's clients has no type
    for value in (
        error.get("code"), error.get("type"), word if isinstance(word, str) and word.isupper() else None,
        inner.get("code") if isinstance(inner, dict) else None,
    ):  # fmt: skip
        number = int(value[:9]) if isinstance(value, str) and value.isascii() and value.isdigit() else value
        if isinstance(number, int) and 400 <= number <= 599:
            status = number
        elif isinstance(number, str) and number:
            codes.append(number)
    if message is None and not codes and status is None:
        return None
    if message is not None and not isinstance(message, str):
        message = msgspec.json.encode(message).decode()
    return Complaint(message, tuple(codes), status)


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _utf8(text: str) -> str:
    """A header's text with the bytes that are none replaced."""
    return text.encode("utf-8", "replace").decode()


def _number(value: str | None) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
