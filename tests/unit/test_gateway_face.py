"""What every face in a vendor's shape does alike: an answer that nobody ended is never shown as a whole one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from golive.config.schema import ServerConfig
from golive.core.clock import SystemClock
from golive.core.errors import ModelCut
from golive.gateway.anthropic_messages import MessagesAsked
from golive.gateway.face import Asked, Face
from golive.gateway.openai_chat import ChatAsked
from golive.models.call import Finished, Opened, TextDelta
from golive.runtime.service import Runtime
from tests.unit.face_kit import Client
from tests.unit.runtime_kit import TARGET, ScriptedModel
from tests.unit.test_runtime_relay import Place

ENDS = {ChatAsked: b"data: [DONE]", MessagesAsked: b"event: message_stop"}
"""How a face says that an answer is whole."""


async def ask(path: Path, shape: Callable[[bytes], Asked], model: ScriptedModel, *, stream: bool) -> tuple[int, bytes]:
    """Status and body of the answer that this model leads to."""
    client = Client()
    body = {"model": TARGET, "max_tokens": 5, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    face = Face(cast(Runtime, None), Place(path, model).relay, SystemClock(), ServerConfig(), lambda ref: None)
    await face.answer(client.exchange, shape(msgspec.json.encode(body)))
    return client.status, client.body


@pytest.mark.parametrize("shape", ENDS)
async def test_a_stream_that_nobody_ended_ends_with_an_error(tmp_path: Path, shape: Callable[[bytes], Asked]) -> None:
    """Text and then nothing: an error stands where the face's end mark would; with an end, the mark stands."""
    half: list[Any] = [[Opened("id"), TextDelta("half")]]
    status, broken = await ask(tmp_path / "a", shape, ScriptedModel(half), stream=True)
    assert status == 200
    assert b"half" in broken
    assert b'"error"' in broken
    assert ENDS[cast(Any, shape)] not in broken
    _, whole = await ask(tmp_path / "b", shape, ScriptedModel([*half, [Finished("stop")]]), stream=True)
    assert ENDS[cast(Any, shape)] in whole
    assert b'"error"' not in whole


@pytest.mark.parametrize("shape", ENDS)
async def test_a_whole_answer_that_nobody_ended_is_an_error(tmp_path: Path, shape: Callable[[bytes], Asked]) -> None:
    """Without a stream it is an error with a status, and nothing of it is sent."""
    with pytest.raises(ModelCut):
        await ask(tmp_path / "a", shape, ScriptedModel([[Opened("id"), TextDelta("half")]]), stream=False)
    status, body = await ask(
        tmp_path / "b", shape, ScriptedModel([[Opened("id"), TextDelta("all"), Finished("stop")]]), stream=False
    )
    assert (status, b"all" in body) == (200, True)


@pytest.mark.parametrize("shape", ENDS)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_failure_before_the_first_event_has_a_status(
    tmp_path: Path, shape: Callable[[bytes], Asked], stream: bool
) -> None:
    """What fails before anything was sent is raised, and gets its status at the door."""
    with pytest.raises(ModelCut):
        await ask(tmp_path / "a", shape, ScriptedModel([ModelCut("gone")]), stream=stream)
