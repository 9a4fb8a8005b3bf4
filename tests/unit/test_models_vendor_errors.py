"""What a provider says when it refuses, and what we make of it."""

import base64
from typing import Any

import msgspec
import pytest

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
from golive.models.vendor_errors import MAX_VENDOR_MESSAGE, Origin, from_status, request_id, retry_after_s

NOW = 1_795_250_000.0  # 2026-11-21 08:33:20 UTC
SECRET = "sk-live-abcdef0123456789"


def error(status: int, body: Any = b"", **headers: str) -> ModelError:
    raw = body if isinstance(body, bytes) else msgspec.json.encode(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return from_status(Origin("acme", "m-1", secret=SECRET, request_id="req_9"), status, named.get, raw, NOW)


def openai(code: str | None, message: str = "No.", kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, None, ModelBadRequest), (400, "context_length_exceeded", ContextTooLong), (413, None, ContextTooLong),
        (400, "content_filter", ContentRefused), (400, "content_policy_violation", ContentRefused),
        (400, "model_not_found", ModelNotFound), (401, "invalid_api_key", ModelAuthFailed),
        (403, None, ModelAuthFailed),
        (402, None, ModelRateLimited), (404, "model_not_found", ModelNotFound), (404, None, ModelNotFound),
        (408, None, ModelTimeout), (409, None, ModelUnavailable), (418, None, ModelBadRequest),
        (422, None, ModelBadRequest),
        (429, "rate_limit_exceeded", ModelRateLimited), (429, "insufficient_quota", ModelRateLimited),
        (500, None, ModelUnavailable), (500, "context_length_exceeded", ModelUnavailable),
        (502, None, ModelUnavailable),
        (503, None, ModelUnavailable), (504, None, ModelUnavailable), (529, "overloaded_error", ModelUnavailable),
    ],
)  # fmt: skip
def test_statuses_and_codes(status: int, code: str | None, kind: type) -> None:
    """Each refusal becomes the error of our tree that says what to do about it."""
    assert type(error(status, openai(code))) is kind


def test_everything_the_vendor_said_is_kept() -> None:
    """Provider, model, status, code, message, request id and wait are fields, and stand in the message."""
    found = error(429, openai("rate_limit_exceeded", "Too fast."), retry_after="3")
    assert found.fields == {
        "provider": "acme", "model": "m-1", "status": 429, "vendor_code": "rate_limit_exceeded",
        "vendor_message": "Too fast.", "request_id": "req_9", "retry_after_s": 3.0,
    }  # fmt: skip
    assert found.message == "acme/m-1 answered 429 (rate_limit_exceeded): Too fast."


@pytest.mark.parametrize("status", [402, 429])
def test_an_empty_account_is_said_to_be_one(status: int) -> None:
    """Waiting does not fill an account, so that it is noted apart from being too fast."""
    found = error(status, openai("insufficient_quota"))
    assert found.fields["quota_exhausted"] is True
    assert "top it up" in found.remedy


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ([openai("c", "In a list.")], "In a list.", "c"),
        ({"error": "Just text."}, "Just text.", None),
        ({"object": "error", "message": "Flat.", "type": "BadRequestError", "code": 400}, "Flat.", "BadRequestError"),
        ({"detail": "FastAPI."}, "FastAPI.", None),
        ({"detail": [{"loc": ["body"], "msg": "bad"}]}, '[{"loc":["body"],"msg":"bad"}]', None),
        ({"error": {"code": "400", "message": "Number."}}, "Number.", None),
        (b"plain text", "plain text", None),
        (b"<html><body>Bad Gateway</body></html>", None, None),
        (b"", None, None),
        (b"\xff\xfe", "\ufffd\ufffd", None),
        ([], "[]", None),
        (None, "null", None),
    ],
)
def test_bodies_of_every_shape(body: Any, message: str | None, code: str | None) -> None:
    """The vendor's words are found wherever servers put them, and no body breaks the mapping."""
    found = error(400, body)
    assert type(found) is ModelBadRequest
    assert (found.fields["vendor_message"], found.fields["vendor_code"]) == (message, code)


@pytest.mark.parametrize(
    "message",
    [
        f"Incorrect API key provided: {SECRET}.", "Incorrect API key provided: sk-live***********************6789.",
        "Header was Authorization: Bearer abc.def.ghi", "bad gsk_Ab12Cd34Ef56Gh78", "bad AIzaSyA1234567890abcdefgh",
    ],
)  # fmt: skip
def test_credentials_never_pass(message: str) -> None:
    """Neither our key nor anything that looks like one survives in an error, also where the vendor masks it by half."""
    found = error(401, openai("invalid_api_key", message))
    shown = str(found) + repr(found) + str(found.fields)
    for trace in (SECRET, "6789", "abc.def", "Ab12", "A1234"):
        assert trace not in shown
    assert "[secret]" in found.fields["vendor_message"]


def test_long_words_are_cut() -> None:
    """A vendor's message is kept to a bound."""
    kept = error(400, openai(None, "x" * 100_000)).fields["vendor_message"]
    assert kept == "x" * (MAX_VENDOR_MESSAGE - 1) + "…"


def test_a_redirect_names_the_remedy() -> None:
    """Redirects are not followed, for a credential would travel along."""
    found = error(307, location="https://elsewhere.example/v1")
    assert type(found) is ModelError
    assert "https://elsewhere.example/v1" in found.message
    assert "base_url of providers.acme" in found.remedy


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0), ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Sat, 21 Nov 2026 08:34:20 GMT"}, 60.0),
        ({"retry-after": "Sat, 21 Nov 2026 08:00:00 GMT"}, 0.0),
        ({"retry-after": "999999999"}, 86_400.0), ({"retry-after": "soon"}, None), ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None), ({"retry-after": "inf"}, None), ({"retry-after": ""}, None), ({}, None),
    ],
)  # fmt: skip
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are read; nonsense is no wait at all, and no wait is longer than a day."""
    assert retry_after_s(headers.get, NOW) == seconds


def test_request_ids() -> None:
    """The id is found in whichever header the vendor uses, OpenAI's first."""
    assert request_id({"x-request-id": "a", "cf-ray": "b"}.get) == "a"
    assert request_id({"apim-request-id": "c"}.get) == "c"
    assert request_id(lambda name: None) is None


@pytest.mark.parametrize(
    "written",
    [
        "pa+ss/wo-9x7Qz", "pa%2Bss%2Fwo-9x7Qz", "pa%2bss%2fwo-9x7Qz", "PA+SS/WO-9X7QZ", b"pa+ss/wo-9x7Qz".hex(),
        base64.b64encode(b"user1:pa+ss/wo-9x7Qz1").decode()[8:26],
    ],
)  # fmt: skip
def test_a_credential_is_taken_out_however_the_provider_quotes_it(written: str) -> None:
    """In no error is what a caller could turn back into it."""
    shown = Origin("p", "m", secret="pa+ss/wo-9x7Qz").redact(f"bad credential <{written}>")
    assert shown == "bad credential <[secret]>"
