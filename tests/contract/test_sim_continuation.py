"""The simulator on the wire, for clients that hold the beginning of an answer, or of a prompt."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from golive.core.clock import SystemClock
from golive.sim.script import Script
from golive.sim.server import Simulator
from tests.contract.sim_kit import chat, words

PART = {"role": "assistant", "content": "one two three"}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    simulator = Simulator(seed=7, clock=SystemClock(), default_script=Script(tokens=10))
    await simulator.start()
    yield simulator
    await simulator.stop()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (Script(text="one two three four five", prefill="continue"), " four five"),
        (Script(text="one two three four five", prefill="overlap", overlap=1), " three four five"),
        (Script(text="one two three four five", prefill="restart"), "one two three four five"),
        (Script(text="one two three four five"), "one two three four five"),
        (Script(text="one two three four five", prefill="diverge", diverge="no"), "no"),
    ],
)
async def test_a_prefill_is_gone_on_with_as_the_script_says(sim: Simulator, script: Script, said: str) -> None:
    """A last assistant message, over the wire; only what is said is billed."""
    messages = [{"role": "user", "content": "hi"}, PART]
    _, _, body = await chat(sim, script, stream=True, messages=messages)
    assert words(body) == said
    assert sim.bill.lines[0].output_tokens == len(said.split())


async def test_generated_text_goes_on_as_it_would_have(sim: Simulator) -> None:
    """What was cut and its continuation, by prefill or by instruction, are together what the whole would have been."""
    script = Script(tokens=20, prefill="continue", continue_on="go on")
    first = {"role": "user", "content": "hi"}
    whole = words((await chat(sim, script, stream=True))[2])
    part = whole[:40]
    for messages in (
        [first, {"role": "assistant", "content": part}],
        [first, {"role": "assistant", "content": part}, {"role": "user", "content": "Go on, please."}],
    ):
        assert part + words((await chat(sim, script, stream=True, messages=messages))[2]) == whole


async def test_a_prefill_may_be_refused(sim: Simulator) -> None:
    """400 in the vendor's shape, free of charge."""
    messages = [{"role": "user", "content": "hi"}, PART]
    status, _, body = await chat(sim, Script(prefill="refuse"), messages=messages)
    assert (status, msgspec.json.decode(body)["error"]["param"]) == (400, "messages")
    assert sim.bill.cost_microusd == 0


async def test_a_long_prompt_sent_again_is_cached(sim: Simulator) -> None:
    """From 1,024 tokens on, in steps of 128, as far as it is the same; another front part is not."""
    system = {"role": "system", "content": "word " * 1_100}
    for said in ("one", "two"):
        await chat(sim, Script(tokens=1), messages=[system, {"role": "user", "content": said}])
    changed = {"role": "system", "content": "ward " * 1_100}
    await chat(sim, Script(tokens=1), messages=[changed, {"role": "user", "content": "two"}])
    await chat(sim, Script(tokens=1, prompt_cache=False), messages=[system, {"role": "user", "content": "one"}])
    assert [line.cached_tokens for line in sim.bill] == [0, 1_024, 0, 0]
