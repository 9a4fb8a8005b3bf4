"""What Anthropic Messages say of usage and of errors."""

from typing import Any

import msgspec
import pytest

from golive.core.errors import (
    ContextTooLong,
    ModelAuthFailed,
    ModelBadRequest,
    ModelError,
    ModelNotFound,
    ModelRateLimited,
    ModelUnavailable,
)
from golive.core.messages import Usage
from golive.models.anthropic import Anthropic
from golive.models.call import UsageReported
from golive.models.vendor_errors import Origin
from tests.contract.speakers.anthropic import USAGE, start, text
from tests.contract.test_dialect import decode, of_kind
from tests.unit.test_models_anthropic import stream, whole

DIALECT = Anthropic()


# ---- usage


def test_input_includes_what_was_cached() -> None:
    """Anthropic counts cached tokens beside the others; we count them among the input."""
    counted = USAGE | {"input_tokens": 1, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 300}
    events, _ = whole([], usage=counted)
    assert of_kind(events, UsageReported) == [UsageReported(Usage(321, 20, 7, 2, 300))]


def test_a_stream_reports_its_input_at_once_and_the_rest_at_its_end() -> None:
    """The output it names at its start is no count: cut there, the bound must stand."""
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}
    events, _ = stream(start(), *text("a"), end)
    assert [item.usage for item in of_kind(events, UsageReported)] == [Usage(11, 4, 0, 0), Usage(11, 4, 9, 0)]


def test_the_last_of_several_usages_counts() -> None:
    """Each is the sum so far; a field that is left out, or is no count, has not changed."""
    first = {"type": "message_delta", "delta": {}, "usage": {"input_tokens": 50, "output_tokens": 3}}
    odd = {
        "input_tokens": -1, "output_tokens": "many", "cache_read_input_tokens": None, "output_tokens_details": [],
        "cache_creation_input_tokens": 10**40,
    }  # fmt: skip
    second = {"type": "message_delta", "delta": None, "usage": odd}
    last = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": 7}
    events, failure = stream(start(), first, second, last)
    assert failure is None
    assert of_kind(events, UsageReported)[-1].usage == Usage(54, 4, 3)


@pytest.mark.parametrize("usage", [None, {}, {"input_tokens": 0, "output_tokens": 0}, [], "1"])
def test_no_usage_is_made_up(usage: Any) -> None:
    """A server that counts nothing leaves the counting to us."""
    events, failure = whole([], usage=usage)
    assert failure is None
    assert of_kind(events, UsageReported) == []


def test_thoughts_are_never_more_than_the_output() -> None:
    """The vendor re-counts them, and may be off by a few."""
    counted = {"input_tokens": 1, "output_tokens": 5, "output_tokens_details": {"thinking_tokens": 7}}
    assert of_kind(whole([], usage=counted)[0], UsageReported) == [UsageReported(Usage(1, 0, 5, 5))]


# ---- errors


def refused(status: int, kind: str, header: dict[str, str] | None = None) -> ModelError:
    body = {"type": "error", "error": {"type": kind, "message": "No."}, "request_id": "req_body"}
    return DIALECT.refusal(Origin("p", "m"), status, (header or {}).get, msgspec.json.encode(body), 0.0)


DOCUMENTED = [
    (400, "invalid_request_error", ModelBadRequest), (401, "authentication_error", ModelAuthFailed),
    (402, "billing_error", ModelRateLimited), (403, "permission_error", ModelAuthFailed),
    (404, "not_found_error", ModelNotFound), (409, "conflict_error", ModelUnavailable),
    (413, "request_too_large", ContextTooLong), (429, "rate_limit_error", ModelRateLimited),
    (500, "api_error", ModelUnavailable), (504, "timeout_error", ModelUnavailable),
    (529, "overloaded_error", ModelUnavailable),
]  # fmt: skip


@pytest.mark.parametrize(("status", "kind", "error"), DOCUMENTED)
def test_documented_errors(status: int, kind: str, error: type[ModelError]) -> None:
    """Every status and type of the API's reference, before an answer and inside one."""
    found = refused(status, kind, {"retry-after": "7"})
    assert type(found) is error
    assert (found.status, found.fields["vendor_code"], found.fields["vendor_message"]) == (status, kind, "No.")
    assert (found.fields["retry_after_s"], found.fields["request_id"]) == (7.0, "req_body")
    _, failure = stream(start(), *text("half"), {"type": "error", "error": {"type": kind, "message": "No."}})
    assert type(failure) is error


def test_an_empty_account_says_so() -> None:
    """It is no limit that waiting would lift."""
    assert refused(402, "billing_error").fields["quota_exhausted"] is True
    assert "quota_exhausted" not in refused(429, "rate_limit_error").fields


def test_the_headers_id_goes_before_the_bodys() -> None:
    """And a body that is none is no obstacle."""
    origin = Origin("p", "m", request_id="req_header")
    body = b'{"type":"error","error":{"type":"api_error","message":"x"},"request_id":"req_body"}'
    assert DIALECT.refusal(origin, 500, {}.get, body, 0.0).fields["request_id"] == "req_header"
    for strange in (b"<html>", b'{"request_id":7}', b'{"request_id":""}', b"[" * 100_000, b"\xff", b""):
        error = DIALECT.refusal(Origin("p", "m"), 529, {}.get, strange, 0.0)
        assert (type(error), error.fields["request_id"]) == (ModelUnavailable, None)


@pytest.mark.parametrize(
    "body",
    [
        b'event: error\ndata: {"type":"error","error":null}\n\n',
        b'event: error\ndata: {"message":"x"}\n\n',
        b'data: {"error":{"type":"overloaded_error","message":"x"}}\n\n',
        b'data: {"error":"x"}\n\n',
        b"event: error\ndata: x\n\n",
        b"event: error\ndata: [7]\n\n",
    ],
)
def test_errors_in_other_shapes(body: bytes) -> None:
    """An event that is called an error, or has one, is one."""
    assert type(decode(DIALECT, body, streamed=True)[1]) is ModelUnavailable


@pytest.mark.parametrize("name", [b"event: error\n", b""])
def test_an_error_inside_an_answer_names_the_request(name: bytes) -> None:
    """Where no header did."""
    decoder = DIALECT.decoder(Origin("p", "m"), streamed=True, header={}.get)
    decoder.feed(name + b'data: {"type":"error","error":{"type":"api_error","message":"x"},"request_id":"r"}\n\n')
    assert decoder.failure is not None
    assert decoder.failure.fields["request_id"] == "r"
