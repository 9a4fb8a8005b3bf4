"""What the question after a restored backup names: the calls that the journal knows of, with their keys."""

from golive.core.events import Body, ModelFinished, RunAccepted, RunStarted, StepStarted, ToolFinished, ToolStarted
from golive.core.messages import Message, ToolCall, Usage
from golive.runtime.restored import MOST, question
from golive.runtime.state import RunState

RUN = "run_1"


def state_of(calls: int, begun: int, done: int) -> RunState:
    """A run whose model asked for so many calls in its first turn, of which some were begun, and some of those done."""
    asked = tuple(ToolCall(f"c{at}", "pay", "{}") for at in range(1, calls + 1))
    bodies: list[Body] = [
        RunAccepted(
            agent="a", version_name="1", source="agent", principal="p", input=(Message("user", "x"),),
        ),
        RunStarted("h"),
        StepStarted(1, "default"),
        ModelFinished(step=1, attempt=1, target="sim/m", item="msg_1", finish_reason="tool_calls", usage=Usage(),
                      cost_microusd=0, priced=True, tool_calls=asked),
    ]  # fmt: skip
    for at in range(1, begun + 1):
        bodies.append(ToolStarted(1, at, f"{RUN}//{at}", f"c{at}", "pay", "{}", "i"))
        if at <= done:
            bodies.append(ToolFinished(1, at, f"{RUN}//{at}", f"c{at}", "pay", True, "paid"))
    state = RunState("t", RUN, "v")
    for seq, body in enumerate(bodies, 1):
        state.apply(seq, 1, float(seq), body)
    return state


def test_calls_are_named_by_what_is_known_of_them() -> None:
    """Done, begun without an outcome, and asked for; each with the key under which the other side knows it."""
    said = question(state_of(3, 2, 1))
    assert f"Done before the backup: pay ({RUN}//1)." in said
    assert f"Begun, and the outcome is not in the backup: pay ({RUN}//2)." in said
    assert f"Asked for next, and perhaps done since: pay ({RUN}//3)." in said
    assert f"keys that begin {RUN}/." in said


def test_what_there_is_not_is_not_said_and_a_long_list_is_cut() -> None:
    """Ten of each at most."""
    said = question(state_of(MOST + 3, MOST + 3, MOST + 3))
    assert f"pay ({RUN}//{MOST}) and 3 more." in said
    assert "Begun" not in said
    assert "Asked for next" not in said
