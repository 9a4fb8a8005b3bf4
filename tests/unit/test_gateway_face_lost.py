"""Text that a server showed and lost: a face that can take nothing back ends with its error, and never goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from msgspec import Raw

from golive.config.schema import ServerConfig
from golive.core.clock import SystemClock
from golive.core.frames import RESET, Frame, text_frame
from golive.core.messages import Usage
from golive.gateway.anthropic_messages import MessagesAsked
from golive.gateway.face import Asked, Face
from golive.gateway.openai_chat import ChatAsked
from golive.gateway.responses_face import ResponsesAsked
from golive.runtime.api import RunResult
from golive.runtime.service import Runtime
from tests.unit.face_kit import Client
from tests.unit.runtime_kit import ScriptedModel
from tests.unit.test_runtime_relay import Place


def responses(body: bytes) -> Asked:
    return ResponsesAsked(body, lambda target: None)


FACES = {ChatAsked: b"data: [DONE]", MessagesAsked: b"event: message_stop", responses: b"response.completed"}
"""How a face says that an answer is whole."""


class Read:
    """A runtime with one reader of one run, who gets these batches."""

    failure = None

    def __init__(self, *batches: list[Frame]) -> None:
        self.batches = list(batches)

    async def subscribe(self, tenant: str, run: str) -> "Read":
        return self

    async def next(self, timeout_s: float) -> list[Frame] | None:
        return self.batches.pop(0) if self.batches else None

    def close(self) -> None: ...


def said(epoch: int, pos: int, text: str) -> Frame:
    return text_frame(epoch, pos, "msg_1", "answer", text)


def reset(epoch: int, pos: int) -> Frame:
    return Frame(epoch, pos, "", "status", RESET, Raw(b'{"pos":%d}' % pos))


def finished(text: str) -> Frame:
    result = RunResult(
        run="run_1", agent="helper", version="v", version_name="1", conversation=None, state="finished",
        outcome="completed", reason="done", message="", text=text, output=None, usage=Usage(), cost_microusd=0,
        priced=True, estimated=False, steps=1, tool_calls=0, created_at=0.0, started_at=0.0, finished_at=1.0,
        metadata={},
    )  # fmt: skip
    return Frame(2, 99, "", "status", "run.finished", Raw(msgspec.json.encode(result)))


async def shown(path: Path, shape: Callable[[bytes], Asked], *batches: list[Frame]) -> bytes:
    """What a client of the face gets of these frames."""
    client = Client()
    place = Place(path, ScriptedModel())
    face = Face(cast(Runtime, Read(*batches)), place.relay, SystemClock(), ServerConfig(), lambda ref: None)
    words = "input" if shape is responses else "messages"
    body = {"model": "helper", "max_tokens": 50, "stream": True, words: [{"role": "user", "content": "hi"}]}
    await face._stream_run(client.exchange, shape(msgspec.json.encode(body)), "run_1", ())
    return client.body


@pytest.mark.parametrize("shape", FACES)
async def test_an_answer_whose_shown_text_is_lost_ends_with_an_error(
    tmp_path: Path, shape: Callable[[bytes], Asked]
) -> None:
    """Its server was cut off from the store, and another began the step again: the same words come once."""
    told = await shown(
        tmp_path, shape, [said(1, 16, "I shall pay now.")],
        [reset(2, 3), said(2, 19, "I shall pay now."), said(2, 24, "Done."), finished("I shall pay now.Done.")],
    )  # fmt: skip
    assert told.partition(b"event: response.failed")[0].count(b"I shall pay now.") == 1
    assert b"Done." not in told
    assert b"and not with the text that is shown here" in told
    assert FACES[cast(Any, shape)] not in told


@pytest.mark.parametrize("shape", FACES)
async def test_a_loss_of_what_was_not_shown_is_none(tmp_path: Path, shape: Callable[[bytes], Asked]) -> None:
    """Where only tools and status are taken back, of which the face shows nothing, the answer goes on and is whole."""
    status = Frame(1, 17, "", "status", "model.started", Raw(b"{}"))
    told = await shown(
        tmp_path, shape, [said(1, 16, "I shall pay now."), status],
        [reset(2, 16), said(2, 21, "Done."), finished("I shall pay now.Done.")],
    )  # fmt: skip
    assert told.index(b"I shall pay now.") < told.index(b"Done.") < told.index(FACES[cast(Any, shape)])
    assert b"is shown here" not in told
