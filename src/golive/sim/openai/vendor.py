"""OpenAI's addresses, keys, headers and errors.

Sources: https://platform.openai.com/docs/guides/error-codes and
https://platform.openai.com/docs/guides/rate-limits, as of 2026.
"""

from collections.abc import Mapping, Sequence

import msgspec

from golive.sim.openai.chat import Chat
from golive.sim.openai.embeddings import Embeddings
from golive.sim.openai.responses import Responses
from golive.sim.protocol import Request
from golive.sim.request import ChatRequest, Rejected
from golive.sim.vendor import Dialect, Limit, Route, Why, Wording, refusal

_MODELS = "/v1/models"
_CHAT = "/v1/chat/completions"
_RESPONSES = "/v1/responses"
_EMBEDDINGS = "/v1/embeddings"
_COUNT = "/v1/responses/input_tokens"
_INVALID = "invalid_request_error"


class OpenAI:
    """The vendor; also whoever copies its addresses."""

    name = "openai"
    retry_header = True
    reasons: Mapping[Why, Wording] = {
        "model": Wording(
            404, "The model `{model}` does not exist or you do not have access to it.", _INVALID, None,
            "model_not_found",
        ),
        "key_missing": Wording(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
            _INVALID,
        ),
        "key_wrong": Wording(401, "Incorrect API key provided.", _INVALID, None, "invalid_api_key"),
        "context": Wording(
            400,
            "This model's maximum context length is {limit} tokens. However, your messages resulted in {used} tokens. "
            "Please reduce the length of the messages.",
            _INVALID, "messages", "context_length_exceeded",
        ),
        "prefill": Wording(
            400, "This model does not support a last message of role 'assistant'.", _INVALID, "messages",
            "unsupported_value",
        ),
        "limited": Wording(
            429,
            "Rate limit reached for {model} on requests per min (RPM): Limit {limit}. Please try again in {wait}s.",
            "requests", None, "rate_limit_exceeded",
        ),
        "script": Wording(400, "{detail}", _INVALID, "x-sim-script", "sim_script_invalid"),
        "method": Wording(405, "Not allowed to {method} on {path}.", _INVALID, None, "method_not_supported"),
        "path": Wording(404, "Invalid URL ({method} {path})", _INVALID),
    }  # fmt: skip
    statuses: Mapping[int, Wording] = {
        wording.status: wording
        for wording in (
            Wording(400, "The request was refused as the script says.", _INVALID),
            Wording(401, "Incorrect API key provided.", _INVALID, None, "invalid_api_key"),
            Wording(
                403, "Country, region, or territory not supported.", "request_forbidden", None,
                "unsupported_country_region_territory",
            ),
            Wording(
                404, "The model does not exist or you do not have access to it.", _INVALID, None, "model_not_found"
            ),
            Wording(408, "The request timed out.", "server_error"),
            Wording(409, "The request conflicts with another.", "server_error"),
            Wording(413, "The request is too large.", _INVALID),
            Wording(422, "The request could not be processed.", _INVALID),
            Wording(
                429, "Rate limit reached for requests. Please try again later.", "requests", None,
                "rate_limit_exceeded",
            ),
            Wording(503, "The engine is currently overloaded, please try again later.", "server_error"),
        )
    }  # fmt: skip
    otherwise = Wording(500, "The server had an error while processing your request. Sorry about that!", "server_error")

    def __init__(self) -> None:
        self._chat, self._responses, self._embeddings = Chat(), Responses(), Embeddings()
        self._dialects: dict[str, Dialect] = {_CHAT: self._chat, _RESPONSES: self._responses}

    def owns(self, request: Request) -> bool:
        return True

    def route(self, request: Request) -> Route:
        method, path = request.method, request.path
        dialect = self._dialects.get(path)
        if dialect is not None and method == "POST":
            return Route("answer", dialect)
        if path == _EMBEDDINGS and method == "POST":
            return Route("embed", self._chat, embedder=self._embeddings)
        if path == _COUNT and method == "POST":
            return Route("count", self._responses)
        if path == _MODELS and method == "GET":
            return Route("models", self._chat)
        if path.startswith(_MODELS + "/") and method == "GET":
            return Route("model", self._chat, path[len(_MODELS) + 1 :])
        why: Why = "method" if dialect is not None or path in (_MODELS, _COUNT, _EMBEDDINGS) else "path"
        raise refusal(self, why, method=method, path=path)

    def credential(self, request: Request) -> str:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""

    def headers(self, number: int) -> bytes:
        return b"x-request-id: req_%d\r\nopenai-version: 2020-10-01\r\nopenai-processing-ms: 1\r\n" % number

    def limit_headers(self, limit: Limit) -> bytes:
        return (
            b"x-ratelimit-limit-requests: %d\r\nx-ratelimit-remaining-requests: %d\r\n"
            b"x-ratelimit-reset-requests: %s\r\n" % (limit.limit, limit.remaining, duration(limit.reset_s).encode())
        )

    def error_body(self, error: Rejected, number: int) -> bytes:
        told = {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}
        return msgspec.json.encode({"error": told})

    def counted(self, request: ChatRequest) -> bytes:
        return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": request.input_tokens})

    def models(self, names: Sequence[str]) -> bytes:
        return msgspec.json.encode({"object": "list", "data": [_described(name) for name in names]})

    def model(self, name: str) -> bytes:
        return msgspec.json.encode(_described(name))


def _described(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": 1_767_225_600, "owned_by": "golive-sim"}


def duration(seconds: float) -> str:
    """A time span as the limit headers write it: 120ms, 1s, 6m0s."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
