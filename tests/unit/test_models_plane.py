"""The model plane against the simulated provider, over real sockets."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from golive.config.failing import RetryConfig
from golive.config.schema import CapabilityConfig, GoliveConfig, PriceConfig, ProviderConfig, TierConfig
from golive.core.clock import SystemClock
from golive.core.deadline import Deadline
from golive.core.errors import (
    CircuitOpen,
    ContextTooLong,
    GoliveError,
    ModelAuthFailed,
    ModelBadRequest,
    ModelCut,
    ModelIncapable,
    ModelMalformed,
    ModelRateLimited,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
    NotFound,
    SecretMissing,
)
from golive.core.messages import Message, ToolSpec
from golive.models.call import (
    AttemptFailed,
    AttemptStarted,
    CallContext,
    Metered,
    ModelEvent,
    ModelRequest,
    Opened,
    TextDelta,
)
from golive.models.listing import ListedPrice, ModelInfo
from golive.models.plane import ModelPlane
from golive.models.transport_http import HttpTransport
from golive.sim.script import Script
from golive.sim.server import Simulator
from tests.contract.test_dialect import calls, of_kind, text

CLOCK = SystemClock()
KEY = "sk-live-0123456789abcdef"
SECRETS = {"env:KEY": KEY, "env:WRONG": "sk-live-wrong-9876543210"}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(clock=CLOCK, api_keys=(KEY,))
    await simulator.start()
    yield simulator
    await simulator.stop()


def resolve(reference: str) -> str:
    if reference not in SECRETS:
        raise SecretMissing(f"{reference} is not set.")
    return SECRETS[reference]


@pytest.fixture
async def plane(sim: Simulator) -> AsyncIterator[ModelPlane]:
    config = GoliveConfig(
        providers={
            "sim": ProviderConfig(base_url=sim.base_url, api_key="env:KEY", models=("sim-text",)),
            "wrong": ProviderConfig(base_url=sim.base_url, api_key="env:WRONG"),
            "keyless": ProviderConfig(base_url=sim.base_url, api_key="env:GONE"),
            "dead": ProviderConfig(base_url="http://127.0.0.1:9/v1"),
        },
        prices={"*": PriceConfig(input_usd_per_mtok=1, output_usd_per_mtok=4, cached_input_usd_per_mtok=0.25)},
        retry=RetryConfig(first_s=0.01),
    )
    built = ModelPlane(config, resolve, HttpTransport(), CLOCK)
    yield built
    await built.close()


async def ask(
    plane: ModelPlane, *refs: str, script: str = "{}", stream: bool = True, tools: tuple[ToolSpec, ...] = ()
) -> tuple[list[ModelEvent], GoliveError | None]:
    """Events and error of one call through a chain."""
    request = ModelRequest(
        messages=(Message("user", "How are you?"),), stream=stream, tools=tools, headers=(("x-sim-script", script),)
    )
    events: list[ModelEvent] = []
    try:
        async for batch in plane.chain(TierConfig(chain=tuple(refs), retries=0))(
            request, CallContext(Deadline.after(CLOCK, 30.0, "test"))
        ):
            events += batch
    except GoliveError as error:
        return events, error
    return events, None


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_its_usage_and_its_price(plane: ModelPlane, sim: Simulator, stream: bool) -> None:
    """What is metered is what the provider bills, to the micro-dollar."""
    events, error = await ask(
        plane, "sim/sim-text", script='{"text":"Fine, thank you.","cached_tokens":2}', stream=stream
    )
    assert error is None
    assert text(events) == "Fine, thank you."
    assert events[0] == AttemptStarted(1, "sim/sim-text")
    metered = events[-1]
    assert isinstance(metered, Metered)
    line = sim.bill.lines[-1]
    assert (metered.usage.input_tokens, metered.usage.output_tokens) == (line.input_tokens, line.output_tokens)
    assert (metered.cost_microusd, metered.priced, metered.estimated) == (line.cost_microusd, True, False)
    assert metered.first_token_ms is not None
    assert 0 < metered.first_token_ms <= metered.latency_ms


async def test_both_ways_of_asking_say_the_same(plane: ModelPlane) -> None:
    """Streamed or not: text, reasoning, tool calls and finish are the same."""
    tools = '[{"name":"a","arguments":{"x":"é"}},{"name":"b"}]'
    script = f'{{"reasoning":"hm","tool_calls":{tools},"fragment":2,"interleave":true}}'
    streamed, first = await ask(plane, "sim/sim-x", script=script)
    at_once, second = await ask(plane, "sim/sim-x", script=script, stream=False)
    assert (first, second) == (None, None)
    assert [call[1:] for call in calls(streamed).values()] == [call[1:] for call in calls(at_once).values()]
    assert len(calls(streamed)) == 2
    assert text(streamed) == text(at_once)


@pytest.mark.parametrize("size", [1, 3, 7])
async def test_split_bytes_and_characters_change_nothing(plane: ModelPlane, size: int) -> None:
    """Chunks cut anywhere on a real socket."""
    events, error = await ask(plane, "sim/sim-x", script=f'{{"text":"Grüße 👋 你好","bytes_per_write":{size}}}')
    assert error is None
    assert text(events) == "Grüße 👋 你好"


BUSY = ModelRequest(messages=(Message("user", "Hi"),), headers=(("x-sim-script", '{"status":503}'),))


async def test_what_can_be_done_without_is_asked_once(plane: ModelPlane) -> None:
    """Each target of the tier, at once; the retries and the second request that the tier allows are for answers."""
    tier = TierConfig(chain=("sim/sim-one", "sim/sim-two"), retries=3, hedge=True)
    for call in (plane.bounded(tier, "support"), plane.chain(tier, hands_over=True)):
        asked: list[str] = []
        with pytest.raises(ModelUnavailable) as caught:
            async for batch in call(BUSY, CallContext(Deadline.after(CLOCK, 30.0, "test"))):
                asked += [event.target for event in batch if isinstance(event, AttemptStarted)]
        assert asked == ["sim/sim-one", "sim/sim-two"]
        assert [failed["target"] for failed in caught.value.fields["attempts"]] == asked


async def test_what_hangs_and_can_be_done_without_is_given_up(plane: ModelPlane) -> None:
    """At the caller's own limit, as the model's failure, and without a word against the target."""
    request = ModelRequest(messages=(Message("user", "Hi"),), headers=(("x-sim-script", '{"hang_ms":-1}'),))
    with pytest.raises(ModelTimeout, match=r"sim/sim-one did not answer within 0\.1 s \(routing\.wait_s\)"):
        async for _ in plane.bounded(TierConfig(chain=("sim/sim-one",)), "support")(
            request, CallContext(Deadline.after(CLOCK, 0.1, "routing.wait_s"))
        ):
            pass
    (gate,) = [gate for gate in plane.breakers() if gate.target == "sim/sim-one" and not gate.supervises]
    assert (gate.state, gate.wait_s) == ("closed", 0)


async def test_an_answer_that_broke_off_is_saved_by_every_means(plane: ModelPlane, sim: Simulator) -> None:
    """A tier that hands over before its first word has its retries for what was shown already."""
    for script in (Script(text="one two three four", cut_after=2), Script(text="All of it.")):
        sim.scripts.install("sim-one", script, times=1)
    tier = TierConfig(chain=("sim/sim-one",), retries=1)
    request = ModelRequest(messages=(Message("user", "Hi"),))
    events: list[ModelEvent] = []
    async for batch in plane.chain(tier, hands_over=True)(
        request, CallContext(Deadline.after(CLOCK, 30.0, "test"), retracts="all")
    ):
        events += batch
    assert [event.attempt for event in of_kind(events, AttemptStarted)] == [1, 2]
    assert text(events).endswith("All of it.")


async def test_the_chain_moves_on_until_a_target_answers(plane: ModelPlane) -> None:
    """Unreachable, refused credential, missing secret: each is told, and the fourth target answers once."""
    events, error = await ask(plane, "dead/m", "wrong/sim-text", "keyless/sim-text", "sim/sim-text")
    assert error is None
    failed = of_kind(events, AttemptFailed)
    assert [(event.attempt, event.target, type(event.error)) for event in failed] == [
        (1, "dead/m", ModelUnreachable), (2, "wrong/sim-text", ModelAuthFailed), (3, "keyless/sim-text", SecretMissing),
    ]  # fmt: skip
    assert [event.attempt for event in of_kind(events, AttemptStarted)] == [1, 2, 3, 4]
    assert len(of_kind(events, Opened)) == 1
    assert [(event.attempt, event.target) for event in of_kind(events, Metered)] == [(4, "sim/sim-text")]


async def test_the_last_error_lists_every_attempt(plane: ModelPlane) -> None:
    """When all fail, the last failure is raised and names those before it."""
    events, error = await ask(plane, "dead/m", "sim/sim-text", script='{"status":429,"retry_after":7}')
    assert isinstance(error, ModelRateLimited)
    told = (error.fields["retry_after_s"], error.fields["vendor_retry_after_s"])
    assert told == (None, 7.0), "the first may be asked again at once"
    assert error.fields["request_id"] == "req_1"
    assert [(one["target"], one["code"]) for one in error.fields["attempts"]] == [
        ("dead/m", "model.unreachable"), ("sim/sim-text", "model.rate_limited"),
    ]  # fmt: skip
    assert of_kind(events, Metered) == []


@pytest.mark.parametrize(("status", "kind", "attempts"), [(400, ModelBadRequest, 1), (413, ContextTooLong, 2)])
async def test_a_wrong_request_does_not_move_on(plane: ModelPlane, status: int, kind: type, attempts: int) -> None:
    """Another target would refuse it too; only one with a larger context may do better."""
    events, error = await ask(plane, "sim/sim-a", "sim/sim-b", script=f'{{"status":{status}}}')
    assert type(error) is kind
    assert len(of_kind(events, AttemptStarted)) == attempts


@pytest.mark.parametrize("cut", ["close", "reset", "end"])
async def test_a_cut_stream_goes_up_and_is_billed(plane: ModelPlane, sim: Simulator, cut: str) -> None:
    """After the first token nothing is tried again; what was used is settled at or above the provider's own bill."""
    events, error = await ask(plane, "sim/sim-a", "sim/sim-b", script=f'{{"cut_after":3,"cut":"{cut}","pace_ms":1}}')
    assert type(error) is ModelCut
    assert len(of_kind(events, TextDelta)) == 3
    assert len(of_kind(events, AttemptStarted)) == 1
    metered = events[-1]
    assert isinstance(metered, Metered)
    assert metered.estimated
    assert metered.cost_microusd >= sim.bill.cost_microusd > 0


@pytest.mark.parametrize("kind", ["json", "utf8"])
async def test_a_malformed_stream_goes_up(plane: ModelPlane, kind: str) -> None:
    """Broken JSON and invalid UTF-8 end the answer with an error."""
    _, error = await ask(plane, "sim/sim-a", script=f'{{"malformed":"{kind}","malformed_after":2}}')
    assert type(error) is ModelMalformed


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("usage", ['"missing"', '{"prompt_tokens":0,"completion_tokens":0}'])
async def test_missing_usage_is_never_free(plane: ModelPlane, sim: Simulator, stream: bool, usage: str) -> None:
    """Without usage, or with one that denies the text, the bound stands in, and lies above the provider's bill."""
    events, error = await ask(plane, "sim/sim-text", script=f'{{"usage":{usage}}}', stream=stream)
    assert error is None
    metered = events[-1]
    assert isinstance(metered, Metered)
    assert metered.estimated
    assert metered.cost_microusd >= sim.bill.cost_microusd > 0


async def test_a_large_request_arrives_whole(plane: ModelPlane, sim: Simulator) -> None:
    """Two megabytes of prompt, which are written in pieces."""
    request = ModelRequest(messages=(Message("user", "word " * 400_000),), headers=(("x-sim-script", '{"tokens":1}'),))
    stream = plane.target("sim/sim-text")(request, CallContext(Deadline.after(CLOCK, 30.0, "test")))
    assert [batch async for batch in stream]
    assert sim.bill.lines[-1].input_tokens > 300_000


async def test_a_reset_before_the_answer_is_unreachable(plane: ModelPlane) -> None:
    """A server that hangs up without a word."""
    assert type((await ask(plane, "sim/sim-a", script='{"refuse":true}'))[1]) is ModelUnreachable


async def test_connections_are_kept_after_streams_and_closed_after_breaks(plane: ModelPlane, sim: Simulator) -> None:
    """Ten calls one after the other need one connection; an abandoned one takes its connection with it."""
    for _ in range(5):
        await ask(plane, "sim/sim-text")
        await ask(plane, "sim/sim-text", stream=False)
        await ask(plane, "sim/sim-text", script='{"status":500}')
    assert sim.open_connections == 1
    request = ModelRequest(messages=(Message("user", "x"),), headers=(("x-sim-script", '{"stall_after":1}'),))
    stream = plane.target("sim/sim-text")(request, CallContext(Deadline.after(CLOCK, 30.0, "test")))
    async for batch in stream:
        if of_kind(batch, TextDelta):
            break
    assert sim.open_connections == 1
    await stream.aclose()
    async with asyncio.timeout(5):
        while sim.open_connections:
            await asyncio.sleep(0)
    assert sim.bill.lines[-1].state == "aborted by client"


async def test_a_rotated_credential_is_used_at_once(plane: ModelPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference is resolved at every call."""
    assert type((await ask(plane, "wrong/sim-text"))[1]) is ModelAuthFailed
    monkeypatch.setitem(SECRETS, "env:WRONG", KEY)
    assert (await ask(plane, "wrong/sim-text"))[1] is None


async def test_no_credential_in_any_error(plane: ModelPlane) -> None:
    """Neither text nor fields nor repr of errors and health hold a key."""
    shown = ""
    for script in ("{}", '{"status":401,"error_message":"Incorrect API key provided: ' + KEY + '"}'):
        for ref in ("wrong/sim-text", "sim/sim-text", "dead/x", "keyless/x"):
            _, error = await ask(plane, ref, script=script)
            shown += f"{error} {error!r} {error.fields if error else ''}"
    shown += repr(await plane.health()) + repr(plane) + repr(vars(plane))
    assert KEY not in shown
    assert SECRETS["env:WRONG"] not in shown


@pytest.mark.parametrize(
    ("ref", "words"),
    [("sum/m", "Did you mean 'sim'?"), ("nowhere/m", "The providers are: sim, wrong, keyless, dead."),
     ("sim", "provider/model"), ("sim/", "provider/model"), ("/m", "provider/model"), ("", "provider/model")],
)  # fmt: skip
async def test_an_unknown_target_names_the_remedy(plane: ModelPlane, ref: str, words: str) -> None:
    """The nearest provider, or the list of them."""
    with pytest.raises(NotFound) as caught:
        plane.chain(TierConfig.model_construct(chain=("sim/sim-text", ref)))
    assert words in str(caught.value)


async def test_a_model_with_slashes_keeps_them(plane: ModelPlane, sim: Simulator) -> None:
    """Only the first slash parts provider and model."""
    await ask(plane, "sim/sim-org/model-1")
    assert sim.bill.lines[-1].model == "sim-org/model-1"


async def test_models_are_listed_with_what_is_known(plane: ModelPlane) -> None:
    """The models that providers list and those of chains, each once, with their price and what they can do; a target
    whose provider is gone is left out."""
    price = ListedPrice(input_usd_per_mtok=1.0, output_usd_per_mtok=4.0, cached_input_usd_per_mtok=0.25, own=True)
    can = ("tools", "images", "structured_output", "reasoning", "embeddings")
    assert plane.models(["dead/m", "sim/sim-text", "gone/m"]) == [
        ModelInfo(id="sim/sim-text", provider="sim", dialect="openai-chat", capabilities=can, price=price),
        ModelInfo(id="dead/m", provider="dead", dialect="openai-chat", capabilities=can, price=price),
    ]


async def test_health_without_calls_asks_the_providers(plane: ModelPlane, sim: Simulator) -> None:
    """Up, refused credential, missing secret, unreachable; asked again at once, nobody is probed again."""
    states = {one.name: (one.state, one.detail) for one in await plane.health()}
    assert states["sim"] == ("up", "")
    assert states["wrong"] == ("down", "credential refused")
    assert states["keyless"] == ("down", "env:GONE is not set.")
    assert states["dead"][0] == "down"
    asked = sim.requests_seen
    await plane.health()
    assert sim.requests_seen == asked


async def test_health_after_a_good_call_is_what_the_call_saw(plane: ModelPlane, sim: Simulator) -> None:
    """A provider that answers calls is not probed; one that fails is."""
    await ask(plane, "sim/sim-text")
    before = sim.requests_seen
    health = {one.name: one for one in await plane.health()}
    assert (health["sim"].state, health["sim"].latency_ms is not None) == ("up", True)
    assert sim.requests_seen == before + 1  # the probe of "wrong"
    await ask(plane, "sim/sim-text", script='{"status":503}')
    before = sim.requests_seen
    assert {one.name: one.state for one in await plane.health()}["sim"] == "up"  # the probe found it well again
    assert sim.requests_seen == before + 1


async def test_an_open_breaker_is_told_by_health(plane: ModelPlane) -> None:
    """By target, with the time until the next attempt; the provider is down where nothing else of it is in use."""
    for _ in range(5):
        _, error = await ask(plane, "dead/m")
        assert isinstance(error, ModelUnreachable)
    found = next(dependency for dependency in await plane.health() if dependency.name == "dead")
    assert (found.state, [(one.target, one.state, one.opened) for one in found.breakers]) == (
        "down", [("dead/m", "open", 1)],
    )  # fmt: skip
    assert 0 < found.breakers[0].wait_s <= 30.0
    assert plane.open_breakers() == 1
    _, error = await ask(plane, "dead/m")
    assert isinstance(error, CircuitOpen)


async def test_a_model_that_makes_no_embeddings_is_not_asked_for_them(sim: Simulator) -> None:
    config = GoliveConfig(
        providers={"sim": ProviderConfig(base_url=sim.base_url)},
        capabilities={"sim/*": CapabilityConfig(embeddings=False)},
    )
    plane = ModelPlane(config, resolve, HttpTransport(), CLOCK)
    with pytest.raises(ModelIncapable, match="sim/sim-text makes no embeddings"):
        plane.embeddings("sim/sim-text")
    await plane.close()
