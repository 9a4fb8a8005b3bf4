"""Anthropic's addresses, keys, headers and errors.

Sources: https://docs.anthropic.com/en/api/errors and https://docs.anthropic.com/en/api/rate-limits, as of 2026.
"""

import time
from collections.abc import Mapping, Sequence

import msgspec

from golive.sim.anthropic.messages import Messages
from golive.sim.protocol import Request
from golive.sim.request import ChatRequest, Rejected
from golive.sim.vendor import Limit, Route, Why, Wording, refusal

_MESSAGES = "/v1/messages"
_COUNT = "/v1/messages/count_tokens"
_MODELS = "/v1/models"
_INVALID = "invalid_request_error"


class Anthropic:
    """The vendor. Its list of models stands where OpenAI's does; the version header tells them apart."""

    name = "anthropic"
    retry_header = True
    reasons: Mapping[Why, Wording] = {
        "model": Wording(404, "model: {model}", "not_found_error"),
        "key_missing": Wording(401, "x-api-key header is required", "authentication_error"),
        "key_wrong": Wording(401, "invalid x-api-key", "authentication_error"),
        "context": Wording(400, "prompt is too long: {used} tokens > {limit} maximum", _INVALID),
        "prefill": Wording(
            400,
            "This model does not support assistant message prefill. The conversation must end with a user message.",
            _INVALID,
        ),
        "limited": Wording(
            429,
            "This request would exceed the rate limit for your organization of {limit} requests per minute.",
            "rate_limit_error",
        ),
        "script": Wording(400, "{detail}", _INVALID),
        "method": Wording(405, "Method Not Allowed", _INVALID),
        "path": Wording(404, "Not found", "not_found_error"),
    }
    statuses: Mapping[int, Wording] = {
        wording.status: wording
        for wording in (
            Wording(400, "The request was refused as the script says.", _INVALID),
            Wording(401, "invalid x-api-key", "authentication_error"),
            Wording(402, "Your credit balance is too low to access the API.", "billing_error"),
            Wording(403, "Request not allowed", "permission_error"),
            Wording(404, "Not found", "not_found_error"),
            Wording(409, "The request conflicts with another.", _INVALID),
            Wording(413, "Request exceeds the maximum size", "request_too_large"),
            Wording(422, "The request could not be processed.", _INVALID),
            Wording(429, "This request would exceed the rate limit for your organization.", "rate_limit_error"),
            Wording(504, "Request timed out", "timeout_error"),
            Wording(529, "Overloaded", "overloaded_error"),
        )
    }
    otherwise = Wording(500, "Internal server error", "api_error")

    def __init__(self) -> None:
        self._messages = Messages()

    def owns(self, request: Request) -> bool:
        return request.path.startswith(_MESSAGES) or "anthropic-version" in request.headers

    def route(self, request: Request) -> Route:
        method, path = request.method, request.path
        if "anthropic-version" not in request.headers:
            raise Rejected(400, "anthropic-version: header is required")
        if path in (_MESSAGES, _COUNT) and method == "POST":
            return Route("answer" if path == _MESSAGES else "count", self._messages)
        if path == _MODELS and method == "GET":
            return Route("models", self._messages)
        if path.startswith(_MODELS + "/") and method == "GET":
            return Route("model", self._messages, path[len(_MODELS) + 1 :])
        raise refusal(self, "method" if path in (_MESSAGES, _COUNT, _MODELS) else "path")

    def credential(self, request: Request) -> str:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        return request.headers.get("x-api-key", "").strip() or (token.strip() if scheme.lower() == "bearer" else "")

    def headers(self, number: int) -> bytes:
        return b"request-id: req_%d\r\nanthropic-organization-id: golive-sim\r\n" % number

    def limit_headers(self, limit: Limit) -> bytes:
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(-(-limit.reset_at // 1))).encode()
        front = b"anthropic-ratelimit-requests-"
        return b"%blimit: %d\r\n%bremaining: %d\r\n%breset: %b\r\n" % (
            front, limit.limit, front, limit.remaining, front, until,
        )  # fmt: skip

    def error_body(self, error: Rejected, number: int) -> bytes:
        told = {"type": error.kind, "message": error.message}
        return msgspec.json.encode({"type": "error", "error": told, "request_id": f"req_{number}"})

    def models(self, names: Sequence[str]) -> bytes:
        listed = [_described(name) for name in names]
        return msgspec.json.encode(
            {"data": listed, "has_more": False, "first_id": names[0] if names else None,
             "last_id": names[-1] if names else None}
        )  # fmt: skip

    def model(self, name: str) -> bytes:
        return msgspec.json.encode(_described(name))

    def counted(self, request: ChatRequest) -> bytes:
        return msgspec.json.encode({"input_tokens": request.input_tokens})


def _described(name: str) -> dict[str, object]:
    return {
        "type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z",
        "lifecycle": "active", "max_input_tokens": 200_000, "max_tokens": 64_000,
    }  # fmt: skip
