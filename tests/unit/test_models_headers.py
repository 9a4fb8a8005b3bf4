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
