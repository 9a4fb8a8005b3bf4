"""The headers that requests themselves bring."""

from itertools import product

import pytest

from golive.core.clock import SystemClock
from golive.core.messages import Message
from golive.models.anthropic import Anthropic
from golive.models.call import ModelRequest
from golive.models.dialect import Dialect
from golive.models.gemini import Gemini
from golive.models.openai_chat import OpenAIChat
from golive.models.openai_responses import OpenAIResponses
from golive.models.provider import SIM, Limits, ProviderCall
from golive.models.transport_http import HttpTransport

DIALECTS: tuple[Dialect, ...] = (Anthropic(), Gemini(), OpenAIChat(), OpenAIResponses())
ADDRESSES = ("http://x/v1", "https://some.openai.azure.com/openai/v1")
NAMES = {name for each, base_url in product(DIALECTS, ADDRESSES) for name in each.headers(base_url, "secret")}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_no_request_sets_a_credential_or_a_dialects_own_header(dialect: Dialect) -> None:
    """In whatever case it is written, and of whichever dialect: what scripts the simulator is all that is added."""
    assert {name.lower() for name in NAMES} >= {
        "authorization", "api-key", "x-api-key", "x-goog-api-key", "anthropic-version"
    }  # fmt: skip
    call = ProviderCall(
        provider=SIM, model="m", base_url="http://x/v1", limits=Limits(1, 1, 1, 1), dialect=dialect,
        transport=HttpTransport(), credential=lambda: "secret", clock=SystemClock(),
    )  # fmt: skip
    plain = ModelRequest(messages=(Message("user", "x"),))
    taken = tuple((spelt(name), "taken") for name in NAMES for spelt in (str.lower, str.upper, str.title))
    asked = ModelRequest(messages=plain.messages, headers=(*taken, ("x-sim-script", "{}")))
    assert call.headers("secret", asked) == call.headers("secret", plain) | {"x-sim-script": "{}"}


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_features_are_named_to_a_target_of_the_requests_own_dialect(dialect: Dialect) -> None:
    """In that dialect's header, whatever the provider is called; a request without costs nothing: the same headers."""
    call = ProviderCall(
        provider="p", model="m", base_url="http://x/v1", limits=Limits(1, 1, 1, 1), dialect=dialect,
        transport=HttpTransport(), credential=lambda: "secret", clock=SystemClock(),
    )  # fmt: skip
    plain = ModelRequest(messages=(Message("user", "x"),))
    usual = call.headers("secret", plain)
    assert call.headers("secret", plain) is usual
    for spoken in (each.name for each in DIALECTS):
        asked = ModelRequest(messages=plain.messages, dialect=spoken, betas=("one-2026-01-01", "two"))
        added = call.headers("secret", asked).items() - usual.items()
        header = {"anthropic": "anthropic-beta", "gemini": None}.get(dialect.name, "openai-beta")
        assert added == ({(header, "one-2026-01-01,two")} if spoken == dialect.name and header else set())
