"""Errors in OpenAI's shape, with the status from which its SDKs raise the right class.

A provider's refusal of a relayed call passes with its own status and words. One exception: when the provider refused
golive's credential, a 401 would blame the caller's key, which is fine; that is a 502.

Source: https://platform.openai.com/docs/guides/error-codes (November 2026).
"""

from typing import Any

import msgspec

from golive.core.errors import GoliveError, ModelAuthFailed, ModelBadRequest, ModelError, ModelNotFound
from golive.gateway.problems import TABLE, Headers, headers_of, status_of
from golive.runtime.api import RunResult

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
_RUN_STATUS = {"interrupted": 503, "cancelled": 409, "disconnected": 409}
_encode = msgspec.json.Encoder(enc_hook=str).encode


class ErrorBody(msgspec.Struct, frozen=True):
    """What stands under `error`. `code` is the vendor's where a provider refused, OpenAI's where its clients look for
    one (`openai_code`), else golive's."""

    message: str
    type: str
    param: str | None
    code: str | None


def openai_status(error: GoliveError) -> int:
    """The status: a provider's own where it refused a relayed call, else that of the problem table."""
    if isinstance(error, ModelError) and not isinstance(error, ModelAuthFailed):
        status = error.status
        if status is not None and 400 <= status <= 599:
            return status
    return status_of(error)


def error_of(error: GoliveError) -> dict[str, Any]:
    """The body of an error answer, which is also what ends a broken stream."""
    fields = error.fields
    if isinstance(error, ModelError):
        message = words_of(error)
        body = ErrorBody(message, type_of(openai_status(error)), None, fields.get("vendor_code") or error.code)
    else:
        field = fields.get("field")
        param = field if isinstance(field, str) else None
        code = fields.get("openai_code") or error.code
        body = ErrorBody(str(error), type_of(openai_status(error)), param, code)
    return {"error": body}


def words_of(error: ModelError) -> str:
    """What a caller is told of a failed model call: the vendor's words and what `explain` adds to them, or ours. The
    remedy is the operator's, except where golive itself refused the request before anybody was asked."""
    words = error.fields.get("vendor_message")
    if words and isinstance(error, ModelNotFound) and (model := str(error.fields.get("model"))) not in words:
        return f"{words} ({error.fields.get('provider')}/{model})"  # "Not found" alone says neither what nor where
    if words:
        return f"{words} {error.fields.get('aside', '')}".rstrip()
    ours = isinstance(error, ModelBadRequest) and error.fields.get("sent") is False
    return str(error) if ours else error.message


def openai_error(error: GoliveError) -> tuple[int, Headers, bytes]:
    """Status, headers and body of the answer to an error on the OpenAI face."""
    return openai_status(error), upstream_headers(error), _encode(error_of(error))


def upstream_headers(error: GoliveError) -> Headers:
    """The headers an error asks for, and the vendor's own id of the request that it refused."""
    headers = headers_of(error)
    request_id = str(error.fields.get("request_id") or "")
    if request_id and request_id.isascii() and request_id.isprintable():
        headers.append((b"x-upstream-request-id", request_id.encode()))
    return headers


def failed_run(result: RunResult) -> tuple[int, dict[str, Any]]:
    """Status and body for a run that ended without an answer."""
    reason = result.reason or "internal"
    status = run_status(reason)
    return status, {"error": ErrorBody(result.message or "The run failed.", type_of(status), None, reason)}


def run_status(reason: str) -> int:
    """The status for the reason why a run has no answer."""
    return _RUN_STATUS.get(reason) or TABLE.get(reason, TABLE["internal"])[0]


def type_of(status: int) -> str:
    """OpenAI's `type` for a status."""
    return _TYPES.get(status) or ("server_error" if status >= 500 else "invalid_request_error")
