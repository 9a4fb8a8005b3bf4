"""Routes, problems and bodies, without a socket."""

from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from golive.core import errors as errors_module
from golive.core.errors import GoliveError, InvalidRequest, ModelAuthFailed, ModelBadRequest, ModelRateLimited
from golive.gateway.administration import Administration
from golive.gateway.bodies import Reader
from golive.gateway.breakers import BreakerFaces
from golive.gateway.catalogue import Catalogue
from golive.gateway.docs_page import DocsFaces
from golive.gateway.exchange import Exchange
from golive.gateway.health import HealthFaces
from golive.gateway.openai_chat import ChatFace
from golive.gateway.openai_errors import error_of, openai_error
from golive.gateway.problems import TABLE, problem
from golive.gateway.routes import PUBLIC, Answer, Route, Router
from golive.gateway.runs import RunBody, RunFaces, RunsQuery
from golive.gateway.schedules import ScheduleFaces
from golive.gateway.steering import SteeringFaces
from golive.gateway.store_face import StoreFace
from golive.gateway.webhooks import WebhookFaces
from golive.tenants.authorize import Verb


async def nothing(exchange: Exchange) -> None:
    """A handler for routes that are only matched."""


def route(method: Any, path: str, verb: Any = "runs.read") -> Route:
    return Route(method, path, verb, nothing, "", (Answer(200, ""),), narrows=True)


@pytest.mark.parametrize("verb", [None, "", "runs.fly", (), ("runs.read", "nonsense"), PUBLIC])
def test_a_route_without_a_verb_cannot_be_made(verb: Any) -> None:
    """No verb, an unknown verb, or PUBLIC anywhere but on live and ready: there is no such route."""
    with pytest.raises((ValueError, TypeError)):
        route("GET", "/v1/things", verb)
    assert route("GET", "/health/live", PUBLIC).public


def test_paths_are_matched_by_segments() -> None:
    """Literal segments win over parameters, a rest takes slashes, empty segments match nothing."""
    router = Router([
        route("GET", "/v1/runs"), route("POST", "/v1/runs/{run}/cancel"), route("GET", "/v1/runs/{run}"),
        route("GET", "/v1/runs/latest"), route("GET", "/v1/models/{model...}"),
    ])  # fmt: skip

    def found(method: str, path: str) -> tuple[str | None, dict[str, str], tuple[str, ...]]:
        match, params, allow = router.find(method, path)
        return match and match.path, params, allow

    assert found("GET", "/v1/runs") == ("/v1/runs", {}, ())
    assert found("GET", "/v1/runs/r1") == ("/v1/runs/{run}", {"run": "r1"}, ())
    assert found("GET", "/v1/runs/latest") == ("/v1/runs/latest", {}, ())
    assert found("POST", "/v1/runs/r1/cancel") == ("/v1/runs/{run}/cancel", {"run": "r1"}, ())
    assert found("GET", "/v1/models/a/b/c") == ("/v1/models/{model...}", {"model": "a/b/c"}, ())
    assert found("HEAD", "/v1/runs") == ("/v1/runs", {}, ())
    assert found("DELETE", "/v1/runs/r1") == (None, {"run": "r1"}, ("GET",))
    for path in (
        "/",
        "",
        "/v1",
        "/v1/runs/",
        "/v1/runs//cancel",
        "/v1/models/",
        "/v1/runs/r1/cancel/x",
        "*",
        "v1/runs",
    ):
        assert found("GET", path)[0] is None, path


@given(st.text())
def test_no_path_breaks_the_router(path: str) -> None:
    """Whatever the path is, the router finds a route or none."""
    router = Router([route("GET", "/v1/runs/{run}"), route("GET", "/v1/models/{model...}")])
    match, params, _ = router.find("GET", path)
    assert match is None or all(params.values())


def test_the_same_route_twice_is_a_mistake() -> None:
    """Two handlers for one method and path cannot be registered."""
    with pytest.raises(ValueError, match="twice"):
        Router([route("GET", "/v1/runs"), route("GET", "/v1/runs")])


def test_every_code_has_a_status() -> None:
    """Each error of the tree stands in the problem table, and nothing else does."""

    def codes(kind: type[GoliveError]) -> set[str]:
        return {kind.code}.union(
            *(codes(sub) for sub in kind.__subclasses__() if sub.__module__ == errors_module.__name__)
        )

    assert codes(GoliveError) == set(TABLE)
    assert all(400 <= status <= 599 for status, _ in TABLE.values())


def test_a_problem_says_what_where_and_what_next() -> None:
    """Standard members, the code, the remedy, the fields; no field can overwrite a member; Retry-After rounds up."""
    error = ModelRateLimited(
        "Slow down.", remedy="Wait.", retry_after_s=1.2, status=429, provider="openai", code="mine"
    )
    status, headers, body = problem(error)
    decoded = msgspec.json.decode(body)
    assert status == decoded["status"] == 429
    assert decoded["code"] == "model.rate_limited"
    assert decoded["type"] == "urn:golive:problem:model.rate_limited"
    assert (decoded["title"], decoded["detail"], decoded["remedy"]) == (
        "Model provider rate limit",
        "Slow down.",
        "Wait.",
    )
    assert decoded["provider"] == "openai"
    assert headers == [(b"retry-after", b"2")]


def test_openai_errors_keep_the_vendors_words() -> None:
    """The vendor's status, message and code pass, except a refused credential of ours, which is a 502."""
    told = ModelBadRequest(
        "sim/x answered 422", status=422, vendor_message="No.", vendor_code="bad", request_id="req_1"
    )
    status, headers, _ = openai_error(told)
    assert status == 422
    assert (b"x-upstream-request-id", b"req_1") in headers
    error = error_of(told)["error"]
    assert (error.message, error.code, error.type, error.param) == ("No.", "bad", "invalid_request_error", None)
    assert openai_error(ModelAuthFailed("no", status=401))[0] == 502
    ours = error_of(InvalidRequest("n is 2.", remedy="Send one.", field="n"))["error"]
    assert (ours.message, ours.param, ours.code) == ("n is 2. Send one.", "n", "request.invalid")


def test_header_values_from_a_vendor_cannot_break_a_response() -> None:
    """A request id with line breaks or foreign characters is left out of the headers."""
    for request_id in ("a\r\nset-cookie: x", "é", ""):
        assert openai_error(ModelBadRequest("x", status=400, request_id=request_id))[1] == []


class Inner(Struct, forbid_unknown_fields=True):
    colour: str = "red"


class Outer(Struct, forbid_unknown_fields=True):
    count: int
    inner: list[Inner] = []


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (b'{"count": "x"}', {"field": "count", "found": '"x"', "expected": "int"}),
        (
            b'{"count": 1, "inner": [{}, {"colour": null}]}',
            {"field": "inner[1].colour", "found": "null", "expected": "str"},
        ),
        (b'{"count": 1, "inner": [{"color": "blue"}]}', {"field": "inner[0].color"}),
        (b"[]", {"field": "body", "expected": "object"}),
        (b'{"count": 1}}', {"field": "body", "position": 12}),
        (b'\xef\xbb\xbf{"count": 1}', {"field": "body"}),
        (b"   ", {"field": "body"}),
    ],
)
def test_input_that_does_not_fit_is_located(body: bytes, fields: dict[str, Any]) -> None:
    """Field or position, what was found, what is expected, and a remedy for each."""
    with pytest.raises(InvalidRequest) as refused:
        Reader(Outer).decode(body)
    assert {name: refused.value.fields.get(name) for name in fields} == fields
    assert refused.value.remedy


@pytest.mark.parametrize(
    ("query", "field", "words"),
    [
        (b"state=foo", "state", "queued, running, waiting, finished"),
        (b"state=", "state", "queued, running, waiting, finished"),
        (b"outcome=done", "outcome", "completed, partial, refused, escalated, cancelled, failed"),
        (b"source=model", "source", "agent, relay"),
        (b"limit=0", "limit", "int >= 1"),
        (b"limit=201", "limit", "int <= 200"),
        (b"limit=many", "limit", "int"),
    ],
)
def test_a_query_that_does_not_fit_is_told_what_would(query: bytes, field: str, words: str) -> None:
    """A parameter of a few values is answered with all of them, one of a range with its bound."""
    with pytest.raises(InvalidRequest) as refused:
        Reader(RunsQuery).query(query)
    assert refused.value.fields["field"] == field
    assert refused.value.message.endswith(f" {words}.")
    assert words in refused.value.remedy


def test_a_misspelt_choice_is_answered_with_the_nearest() -> None:
    """In a query and inside of a body; the choices stand in the problem for programs, too."""
    with pytest.raises(InvalidRequest) as refused:
        Reader(RunsQuery).query(b"state=finishd")
    assert refused.value.remedy == "Did you mean 'finished'?"
    assert refused.value.fields["choices"] == ["queued", "running", "waiting", "finished"]
    with pytest.raises(InvalidRequest) as refused:
        Reader(RunBody).decode(b'{"input": [{"role": "usr"}]}')
    assert refused.value.message == 'input[0].role is "usr"; expected is one of system, user, assistant.'
    assert refused.value.remedy == "Did you mean 'user'?"
    with pytest.raises(InvalidRequest) as refused:
        Reader(RunBody).decode(b'{"input": [{"role": "user", "content": [{"type": "sound"}]}]}')
    assert refused.value.message == 'input[0].content[0].type is "sound"; expected is one of text, image.'


def test_unknown_fields_are_answered_with_the_nearest_name_at_any_depth() -> None:
    """A misspelt field inside a list of objects gets the name it was meant to be."""
    with pytest.raises(InvalidRequest) as refused:
        Reader(Outer).decode(b'{"count": 1, "inner": [{"color": "blue"}]}')
    assert refused.value.remedy == "Did you mean 'colour'?"


def refusal(body: bytes) -> InvalidRequest | None:
    """The refusal of a body for a run; None when it is one."""
    try:
        Reader(RunBody).decode(body)
    except InvalidRequest as error:
        return error
    return None


@given(st.binary(max_size=60))
def test_any_bytes_are_a_body_or_a_clear_refusal(body: bytes) -> None:
    """Whatever arrives, reading gives the struct or InvalidRequest, never another exception."""
    refused = refusal(body)
    assert refused is None or (refused.message and refused.fields["field"])


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_any_json_is_a_run_or_a_clear_refusal(document: Any) -> None:
    """Whatever JSON stands as input, it is read or refused with a field."""
    refused = refusal(msgspec.json.encode({"input": document}))
    assert refused is None or refused.fields["field"].startswith("input")


def test_every_verb_opens_some_route() -> None:
    """The verbs of roles are those of routes: a verb without a door would be a promise without effect."""
    faces = (
        Administration, BreakerFaces, Catalogue, DocsFaces, HealthFaces, ChatFace, RunFaces, ScheduleFaces,
        SteeringFaces,
        StoreFace, WebhookFaces,
    )  # fmt: skip
    used = {verb for face in faces for made in object.__new__(face).routes() for verb in made.verbs}  # type: ignore[attr-defined]
    assert used | ELSEWHERE == set(get_args(Verb))


ELSEWHERE = {
    "tenants.read", "tenants.manage", "users.read", "users.manage", "credentials.read", "credentials.manage",
    "secrets.read", "secrets.manage", "audit.read",
}  # fmt: skip
"""Verbs whose faces are not in the list above; `tests/e2e/test_access_matrix.py` holds every route of a server."""
