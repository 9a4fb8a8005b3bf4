"""The official openai SDK goes on with responses that the simulator stores."""

from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from golive.core.clock import SystemClock
from golive.sim.openai import stored
from golive.sim.openai.stored import StoredResponses
from golive.sim.server import Simulator

KEYS = ("sk-sim-one", "sk-sim-two")
TOOL: list[Any] = [{"type": "function", "name": "get_order", "parameters": {"type": "object"}, "strict": False}]
NOT_FOUND = ("previous_response_id", "previous_response_not_found")


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(seed=1, clock=SystemClock(), api_keys=KEYS)
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.fixture
async def client(sim: Simulator) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(api_key=KEYS[0], base_url=sim.base_url, max_retries=0) as sdk:
        yield sdk


async def ask(client: AsyncOpenAI, *, stream: bool = False, **fields: Any) -> Any:
    """The final response, streamed or whole."""
    given: dict[str, Any] = {"model": "sim-echo", **fields}
    if not stream:
        return await client.responses.create(**given)
    last = None
    async for event in await client.responses.create(**given, stream=True):
        last = event
    assert last is not None
    return last.response


@pytest.mark.parametrize("stream", [False, True])
async def test_a_chain_of_responses_is_one_conversation(client: AsyncOpenAI, *, stream: bool) -> None:
    """Each goes on with all before it: their tokens count, and the answers say what they go on with."""
    first = await ask(client, input="one two three", stream=stream)
    second = await ask(client, input="four", previous_response_id=first.id, stream=stream)
    third = await ask(client, input="five", previous_response_id=second.id, stream=stream)
    alone = await ask(client, input="five", stream=stream)
    assert [each.previous_response_id for each in (first, second, third)] == [None, first.id, second.id]
    assert (first.store, third.output_text) == (True, "five")
    used = [each.usage.input_tokens for each in (alone, first, second, third)]
    assert used[3] > used[2] > used[1] > used[0]
    branch = await ask(client, input="five", previous_response_id=first.id)
    assert branch.usage.input_tokens < third.usage.input_tokens


async def test_a_tool_call_is_answered_by_its_result_alone(client: AsyncOpenAI) -> None:
    """The call stands in the stored response; its result, and nothing else, is sent."""
    called = await ask(client, model="sim-tools", input="Where is it?", tools=TOOL)
    (call,) = [item for item in called.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sent"}
    ended = await ask(client, model="sim-tools", input=[result], tools=TOOL, previous_response_id=called.id)
    assert ended.status == "completed"
    assert [item.type for item in ended.output] == ["message"]
    with pytest.raises(openai.BadRequestError, match=f"No tool output found for function call {call.call_id}"):
        await ask(client, model="sim-tools", input="And?", previous_response_id=called.id)


async def test_instructions_are_those_of_each_request(client: AsyncOpenAI) -> None:
    """What the first was told does not count for the second, as the vendor has it."""
    told = await ask(client, input="Hi", instructions="Answer like a pirate, at great length and with much rum.")
    plain = await ask(client, input="Hi")
    after = [await ask(client, input="Hi", previous_response_id=each.id) for each in (told, plain)]
    assert after[0].usage.input_tokens == after[1].usage.input_tokens


async def test_what_is_not_stored_is_not_found(sim: Simulator, client: AsyncOpenAI) -> None:
    """One that was not to be stored, one that broke off, one of another key or another provider, and no such id."""
    private = await ask(client, input="Hi", store=False)
    assert private.store is False
    cut = None
    try:
        async for event in await client.responses.create(model="sim-text?cut_after=2", input="Hi", stream=True):
            cut = getattr(event, "response", cut)
    except openai.APIError:
        pass
    assert cut is not None
    kept = await ask(client, input="Hi")
    elsewhere = client.with_options(base_url=f"{sim.base_url.removesuffix('/v1')}/at/first/v1")
    other = client.with_options(api_key=KEYS[1])
    for asking, name in ((client, private.id), (client, cut.id), (other, kept.id), (elsewhere, kept.id), (client, "x")):
        with pytest.raises(openai.BadRequestError) as refused:
            await ask(asking, input="Hi", previous_response_id=name)
        assert (refused.value.param, refused.value.code) == NOT_FOUND
    assert (await ask(client, input="Hi", previous_response_id=kept.id)).status == "completed"


def test_the_store_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """In number and in bytes; the oldest make room, and the newest always fits."""
    monkeypatch.setattr(stored, "MAX_RESPONSES", 3)
    monkeypatch.setattr(stored, "MAX_BYTES", 100)
    store = StoredResponses()
    for number in range(5):
        store.keep("me", f"resp_{number}", [number])
    assert (len(store), store.items("me", "resp_1"), store.items("me", "resp_2")) == (3, None, [2])
    store.keep("me", "resp_5", ["x" * 91])
    assert (len(store), store.items("me", "resp_4")) == (2, [4])
    store.keep("me", "resp_6", ["y" * 500])
    assert (len(store), store.items("me", "resp_6")) == (1, ["y" * 500])
    assert store.items("you", "resp_6") is None
