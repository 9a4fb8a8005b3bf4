"""What Google's refusals mean: status words, reasons, waits, and answers that are not Google's at all."""

from typing import Any

import msgspec
import pytest

from golive.core.errors import (
    ModelAuthFailed,
    ModelBadRequest,
    ModelError,
    ModelNotFound,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
)
from golive.models.gemini import Gemini
from golive.models.vendor_errors import Origin
from tests.contract.speakers.gemini import answer, sse, text
from tests.contract.test_dialect import decode

DIALECT = Gemini()


def refusal(status: int, error: Any, headers: dict[str, str] | None = None) -> ModelError:
    sent = error if isinstance(error, bytes) else msgspec.json.encode(error)
    return DIALECT.refusal(Origin("p", "m"), status, (headers or {}).get, sent, 0.0)


def status_object(code: int, word: str, *details: dict[str, Any]) -> dict[str, Any]:
    return {"error": {"code": code, "message": "words", "status": word, "details": list(details)}}


@pytest.mark.parametrize(
    ("code", "word", "error"),
    [
        (400, "INVALID_ARGUMENT", ModelBadRequest), (400, "FAILED_PRECONDITION", ModelAuthFailed),
        (400, "OUT_OF_RANGE", ModelBadRequest), (401, "UNAUTHENTICATED", ModelAuthFailed),
        (403, "PERMISSION_DENIED", ModelAuthFailed), (404, "NOT_FOUND", ModelNotFound),
        (409, "ABORTED", ModelUnavailable), (429, "RESOURCE_EXHAUSTED", ModelRateLimited),
        (499, "CANCELLED", ModelUnavailable), (500, "INTERNAL", ModelUnavailable), (500, "UNKNOWN", ModelUnavailable),
        (503, "UNAVAILABLE", ModelUnavailable), (504, "DEADLINE_EXCEEDED", ModelTimeout),
    ],
)  # fmt: skip
def test_status_words_decide(code: int, word: str, error: type[ModelError]) -> None:
    """Each of Google's status words, alone, in a list and inside a stream."""
    wire = status_object(code, word)
    for sent in (wire, [wire]):
        found = refusal(code, sent)
        assert type(found) is error
        assert (found.status, found.fields["vendor_code"], found.fields["vendor_message"]) == (code, word, "words")
    inside = decode(DIALECT, sse(answer(text("a")), wire), streamed=True)[1]
    assert type(inside) is error
    assert (inside.status, inside.fields["vendor_code"]) == (None, word)


def test_an_invalid_key_is_an_auth_error_although_it_comes_as_400() -> None:
    """ErrorInfo.reason says better than the status, wherever it stands among the details."""
    found = refusal(
        400,
        status_object(
            400, "INVALID_ARGUMENT", {"@type": "type.googleapis.com/google.rpc.LocalizedMessage", "locale": "en-US"},
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"},
        ),
    )  # fmt: skip
    assert type(found) is ModelAuthFailed
    assert found.fields["vendor_code"] == "API_KEY_INVALID"


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("37s", 37.0), ("1.5s", 1.5), ("0s", 0.0), ("999999999s", 86_400.0), ("-3s", 4.0), ("nans", 4.0), ("infs", 4.0),
        ("37", 4.0), ("s", 4.0), (37, 4.0), ({"seconds": 37}, 4.0), ("9" * 4_000 + "s", 86_400.0),
    ],
)  # fmt: skip
def test_retry_delay_is_obeyed(delay: Any, seconds: float) -> None:
    """RetryInfo says how long to wait; where it cannot be read, the header does."""
    retry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    found = refusal(429, status_object(429, "RESOURCE_EXHAUSTED", retry), {"retry-after": "4"})
    assert type(found) is ModelRateLimited
    assert found.fields["retry_after_s"] == seconds
    assert "quota_exhausted" not in found.fields


def test_a_quota_of_the_day_is_told_from_one_of_the_minute() -> None:
    """QuotaFailure names the quota; one of a day is not back after a short wait."""
    for quota, gone in (("GenerateRequestsPerDayPerProject-FreeTier", True), ("GenerateRequestsPerMinute", None)):
        failure = {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [None, {"quotaId": quota}]}
        found = refusal(429, status_object(429, "RESOURCE_EXHAUSTED", failure))
        assert found.fields.get("quota_exhausted") is gone


@pytest.mark.parametrize(
    ("status", "sent", "error"),
    [
        (502, b"<html>bad gateway</html>", ModelUnavailable), (400, b"", ModelBadRequest),
        (429, b'{"error": "slow down"}', ModelRateLimited),
        (401, {"error": {"status": 3, "details": 5}}, ModelAuthFailed),
        (500, {"error": {"status": "NEW_WORD"}}, ModelUnavailable),
        (302, {"error": {"status": "INTERNAL"}}, ModelError),
        (403, {"error": {"status": ["UNAVAILABLE"], "details": [None, 1]}}, ModelAuthFailed),
        (404, [[]], ModelNotFound), (400, b"[" * 5_000, ModelBadRequest),
    ],
)  # fmt: skip
def test_answers_that_are_not_googles_fall_back_to_the_status(status: int, sent: Any, error: type[ModelError]) -> None:
    """Proxies and load balancers answer in words of their own."""
    assert type(refusal(status, sent)) is error


def test_a_credential_in_googles_words_is_not_passed_on() -> None:
    """Some of Google's messages repeat the key."""
    origin = Origin("p", "m", secret="top-secret-value")
    wire = msgspec.json.encode({"error": {"message": "key top-secret-value is bad", "status": "UNAUTHENTICATED"}})
    found = DIALECT.refusal(origin, 401, {}.get, wire, 0.0)
    assert found.fields["vendor_message"] == "key [secret] is bad"
