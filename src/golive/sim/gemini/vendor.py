"""The Gemini API's addresses, keys and errors.

Sources: https://ai.google.dev/api and https://ai.google.dev/gemini-api/docs/troubleshooting, as of 2026; the error
details are those of https://google.aip.dev/193.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from golive.sim.gemini.content import GenerateContent
from golive.sim.gemini.embeddings import EmbedContent
from golive.sim.protocol import Request
from golive.sim.request import ChatRequest, Rejected
from golive.sim.vendor import Limit, Route, Why, Wording, refusal

_MODELS = "/v1beta/models"
_BATCH = "batchEmbedContents"
_INVALID = "INVALID_ARGUMENT"
_TYPES = "type.googleapis.com/google.rpc."


class Gemini:
    """The vendor. It sends no request id and no headers about limits; how long to wait stands in the error."""

    name = "gemini"
    retry_header = False
    reasons: Mapping[Why, Wording] = {
        "model": Wording(
            404,
            "models/{model} is not found for API version v1beta, or is not supported for generateContent. Call "
            "ListModels to see the list of available models and their supported methods.",
            "NOT_FOUND",
        ),
        "key_missing": Wording(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or "
            "other form of API consumer identity to call this API.",
            "PERMISSION_DENIED",
        ),
        "key_wrong": Wording(
            400, "API key not valid. Please pass a valid API key.", _INVALID, code="API_KEY_INVALID"
        ),
        "context": Wording(
            400, "The input token count ({used}) exceeds the maximum number of tokens allowed ({limit}).", _INVALID
        ),
        "prefill": Wording(400, "Please ensure that the conversation ends with a turn of role user.", _INVALID),
        "limited": Wording(
            429,
            "You exceeded your current quota, please check your plan and billing details. * Quota exceeded for metric: "
            "generate_content_requests, limit: {limit}. Please retry in {wait}s.",
            "RESOURCE_EXHAUSTED", code="RATE_LIMIT_EXCEEDED",
        ),
        "script": Wording(400, "{detail}", _INVALID),
        "method": Wording(405, "The requested method is not allowed.", "UNIMPLEMENTED"),
        "path": Wording(404, "The requested address was not found on this server.", "NOT_FOUND"),
    }  # fmt: skip
    statuses: Mapping[int, Wording] = {
        wording.status: wording
        for wording in (
            Wording(400, "The request was refused as the script says.", _INVALID),
            Wording(401, "Request had invalid authentication credentials.", "UNAUTHENTICATED"),
            Wording(403, "The caller does not have permission", "PERMISSION_DENIED"),
            Wording(404, "Requested entity was not found.", "NOT_FOUND"),
            Wording(408, "The request timed out.", "DEADLINE_EXCEEDED"),
            Wording(409, "The request conflicts with another.", "ABORTED"),
            Wording(413, "Request payload size exceeds the limit.", _INVALID),
            Wording(
                429, "Resource has been exhausted (e.g. check quota).", "RESOURCE_EXHAUSTED", code="RATE_LIMIT_EXCEEDED"
            ),
            Wording(499, "The operation was cancelled.", "CANCELLED"),
            Wording(503, "The model is overloaded. Please try again later.", "UNAVAILABLE"),
            Wording(504, "Deadline expired before operation could complete.", "DEADLINE_EXCEEDED"),
        )
    }
    otherwise = Wording(500, "An internal error has occurred. Please retry.", "INTERNAL")

    def __init__(self) -> None:
        self._whole, self._stream, self._array = (
            GenerateContent(streamed=streamed, sse=sse)
            for streamed, sse in ((False, False), (True, True), (True, False))
        )

    def owns(self, request: Request) -> bool:
        return request.path.startswith("/v1beta/")

    def route(self, request: Request) -> Route:
        model, _, action = unquote(request.path.removeprefix(_MODELS + "/")).rpartition(":")
        if request.path == _MODELS and request.method == "GET":
            return Route("models", self._whole)
        if not request.path.startswith(_MODELS + "/"):
            raise refusal(self, "path")
        if request.method == "GET":
            return Route("model", self._whole, unquote(request.path.removeprefix(_MODELS + "/")))
        if request.method != "POST":
            raise refusal(self, "method")
        if action == "generateContent":
            return Route("answer", self._whole, model)
        if action == "streamGenerateContent":
            sse = parse_qs(request.query).get("alt") == ["sse"]
            return Route("answer", self._stream if sse else self._array, model)
        if action == "countTokens":
            return Route("count", self._whole, model)
        if action in ("embedContent", _BATCH):
            return Route("embed", self._whole, model, EmbedContent(batch=action == _BATCH))
        raise refusal(self, "path")

    def credential(self, request: Request) -> str:
        given = request.headers.get("x-goog-api-key", "").strip()
        return given or parse_qs(request.query).get("key", [""])[-1]

    def headers(self, number: int) -> bytes:
        return b"server: scaffolding on HTTPServer2\r\nserver-timing: gfet4t7; dur=1\r\n"

    def limit_headers(self, limit: Limit) -> bytes:
        return b""

    def error_body(self, error: Rejected, number: int) -> bytes:
        told: dict[str, Any] = {"code": error.status, "message": error.message, "status": error.kind}
        details = _details(error)
        if details:
            told["details"] = details
        return msgspec.json.encode({"error": told})

    def models(self, names: Sequence[str]) -> bytes:
        return msgspec.json.encode({"models": [_described(name) for name in names]})

    def model(self, name: str) -> bytes:
        return msgspec.json.encode(_described(name))

    def counted(self, request: ChatRequest) -> bytes:
        details = [{"modality": "TEXT", "tokenCount": request.input_tokens}]
        return msgspec.json.encode({"totalTokens": request.input_tokens, "promptTokensDetails": details})


def _details(error: Rejected) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    if error.code is not None:
        about = {"service": "generativelanguage.googleapis.com"}
        details.append(
            {"@type": _TYPES + "ErrorInfo", "reason": error.code, "domain": "googleapis.com", "metadata": about}
        )
    if error.status == 429:
        violation = {
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
            "quotaId": "GenerateRequestsPerMinutePerProjectPerModel",
        }
        details.append({"@type": _TYPES + "QuotaFailure", "violations": [violation]})
    if error.retry_after_s is not None:
        details.append({"@type": _TYPES + "RetryInfo", "retryDelay": f"{error.retry_after_s:g}s"})
    return details


def _described(name: str) -> dict[str, object]:
    return {
        "name": f"models/{name}", "version": "001", "displayName": name, "description": "simulated",
        "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens", "embedContent"],
    }  # fmt: skip
