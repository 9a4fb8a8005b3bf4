"""How scripts go on with an answer whose beginning the client holds already."""

from typing import Any

import msgspec
import pytest

from golive.core.chance import SeededChance
from golive.sim.continuation import Partial, resumed, split
from golive.sim.openai.chat_request import read_chat
from golive.sim.request import ChatRequest
from golive.sim.script import Script

WHOLE = "The parcel left Bern on Monday and arrives today."
HELD = "The parcel left Bern"
USER = {"role": "user", "content": "Where is it?"}
PART = {"role": "assistant", "content": HELD}
GO_ON = {"role": "user", "content": "Please CONTINUE exactly where you stopped."}


def request(*messages: dict[str, Any]) -> ChatRequest:
    return read_chat(msgspec.json.encode({"model": "sim-x", "messages": messages}))


def test_a_last_assistant_message_is_a_prefill() -> None:
    """It is taken out of the request; the vendor's habit decides where the script does not."""
    base, partial = split(request(USER, PART), Script(), continues=True)
    assert [turn.role for turn in base.turns] == ["user"]
    assert partial == Partial(HELD, False, "continue")
    assert split(request(USER, PART), Script(), continues=False)[1] == Partial(HELD, False, "restart")
    assert split(request(USER, PART), Script(prefill="refuse"), continues=True)[1] == Partial(HELD, False, "refuse")


def test_an_instruction_to_go_on_is_what_the_script_says() -> None:
    """The words of `continue_on` in the last user message name the assistant message before it; others do not."""
    asked = request(USER, PART, GO_ON)
    base, partial = split(asked, Script(continue_on="continue exactly"), continues=False)
    assert [turn.text for turn in base.turns] == ["Where is it?"]
    assert partial == Partial(HELD, True, "continue")
    assert split(asked, Script(continue_on="go on from"), continues=False) == (asked, None)
    assert split(asked, Script(), continues=True) == (asked, None)


def test_an_ordinary_conversation_holds_no_beginning() -> None:
    """A user's turn, tool calls, and an assistant message alone are none."""
    for messages in ((USER,), (USER, PART, USER), (PART,)):
        assert split(request(*messages), Script(), continues=True)[1] is None


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (Script(prefill="continue"), " on Monday and arrives today."),
        (Script(prefill="overlap", overlap=2), " left Bern on Monday and arrives today."),
        (Script(prefill="overlap", overlap=2, overlap_as="upper"), " LEFT BERN on Monday and arrives today."),
        (Script(prefill="overlap", overlap=2, overlap_as="spaced"), "  left  Bern on Monday and arrives today."),
        (Script(prefill="overlap", overlap=0), " on Monday and arrives today."),
        (Script(prefill="overlap", overlap=99), WHOLE),
        (Script(prefill="restart"), WHOLE),
        (Script(prefill="diverge", diverge="Something else."), "Something else."),
    ],
)
def test_each_way_of_going_on(script: Script, said: str) -> None:
    """The words that come, given the words that are there."""
    assert script.prefill is not None
    assert resumed(WHOLE, Partial(HELD, False, script.prefill), script, SeededChance(1)) == said


def test_whoever_holds_something_else_gets_the_whole_text() -> None:
    """A beginning that is not this answer's is never joined to the middle of it."""
    assert resumed(WHOLE, Partial("Another text", False, "continue"), Script(), SeededChance(1)) == WHOLE


def test_diverging_without_a_text_says_generated_words() -> None:
    """Other words than the script's, the same for the same chance."""
    said = [resumed(WHOLE, Partial(HELD, True, "diverge"), Script(), SeededChance(1)) for _ in range(2)]
    assert said[0] == said[1] != WHOLE
    assert len(said[0].split()) > 15
