"""Errors in Anthropic's shape, with the status from which its SDKs raise the right class.

A provider's refusal of a relayed call passes with its own status and words, as on the OpenAI face. `code` and `param`
stand beside Anthropic's own members: golive's stable code (or the vendor's), and the field that is wrong.

Source: https://docs.claude.com/en/api/errors (November 2026).
"""

from typing import Any

import msgspec

from golive.core.errors import GoliveError, ModelError
from golive.gateway.openai_errors import openai_status, run_status, upstream_headers, words_of
from golive.gateway.problems import Headers
from golive.runtime.api import RunResult

_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OVERLOADED = 529
"""What Anthropic says instead of 503 when it has too much to do."""
_encode = msgspec.json.Encoder(enc_hook=str).encode


class ErrorDetail(msgspec.Struct, frozen=True, omit_defaults=True):
    """What stands under `error`."""

    type: str
    message: str
    code: str | None = None
    param: str | None = None


class AnthropicError(msgspec.Struct, frozen=True, tag_field="type", tag="error"):
    """What went wrong, in Anthropic's shape. `request_id` is the run's id; null where there is none yet."""

    error: ErrorDetail
    request_id: str | None


def type_of(status: int) -> str:
    """Anthropic's `type` for a status."""
    return _TYPES.get(status) or ("api_error" if status >= 500 else "invalid_request_error")


def anthropic_status(error: GoliveError) -> int:
    """The status: a provider's own where it refused a relayed call, else that of the problem table."""
    return _OVERLOADED if error.code == "server.overloaded" else openai_status(error)


def error_of(error: GoliveError, run: str | None) -> AnthropicError:
    """The body of an error answer, which is also what ends a broken stream."""
    fields: dict[str, Any] = error.fields
    kind = type_of(anthropic_status(error))
    if isinstance(error, ModelError):
        message = words_of(error)
        detail = ErrorDetail(kind, message, fields.get("vendor_code") or error.code)
    else:
        field = fields.get("field")
        detail = ErrorDetail(kind, str(error), error.code, field if isinstance(field, str) else None)
    return AnthropicError(detail, run)


def anthropic_error(error: GoliveError, run: str | None) -> tuple[int, Headers, bytes]:
    """Status, headers and body of the answer to an error on the Anthropic face."""
    return anthropic_status(error), upstream_headers(error), _encode(error_of(error, run))


def request_ids(run: str) -> Headers:
    """The run's id as Anthropic's clients look for it, and as all other answers have it."""
    return [(b"request-id", run.encode()), (b"x-request-id", run.encode())]


def failed_run(result: RunResult) -> tuple[int, AnthropicError]:
    """Status and body for a run that ended without an answer."""
    reason = result.reason or "internal"
    status = run_status(reason)
    detail = ErrorDetail(type_of(status), result.message or "The run failed.", reason)
    return status, AnthropicError(detail, result.run)


def error_event(body: AnthropicError) -> bytes:
    """What ends a broken stream, instead of message_stop."""
    return b"event: error\ndata: " + _encode(body) + b"\n\n"
