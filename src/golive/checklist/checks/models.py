"""Do models answer as promised? The official shapes, strictly; and a chain moves on when its first target refuses."""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from golive.checklist.drill import course, in_words
from golive.checklist.http import Reply
from golive.checklist.registry import check
from golive.checklist.results import Evidence, Finding, Result
from golive.checklist.target import Target, need_agent
from golive.sim.script import Script

_Finish = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
SOURCE = "https://platform.openai.com/docs/api-reference/chat"
ASK = "Say one short sentence about the sea."


class _Usage(Struct):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class _Message(Struct):
    role: Literal["assistant"]
    content: str | None


class _Choice(Struct):
    index: int
    message: _Message
    finish_reason: _Finish


class _Completion(Struct):
    """What the vendor's reference requires of a chat completion."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[_Choice]
    usage: _Usage


class _Delta(Struct):
    role: Literal["assistant"] | None = None
    content: str | None = None


class _ChunkChoice(Struct):
    index: int
    delta: _Delta
    finish_reason: _Finish | None


class _Chunk(Struct):
    """What the vendor's reference requires of a chunk."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[_ChunkChoice]
    usage: _Usage | None = None


class _Error(Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class _ErrorBody(Struct):
    error: _Error


@check(
    "MD-1.dialect",
    row="MD-1",
    title="Chat completions have the official shape: whole, streamed, and refused",
    phase="serving",
    severity="major",
    remediation="Compare the answer with the vendor's reference; let no proxy rewrite bodies.",
    references=(SOURCE, "https://platform.openai.com/docs/guides/error-codes"),
)
async def dialect(target: Target) -> Result:
    """Parses strictly what official clients parse leniently, and what they rely on beyond the types."""
    found = Finding("every field the vendor's reference requires, of its type; one end, then [DONE]")
    faults: list[str] = []
    models = [target.model]
    if "inject" in target.handles:
        models += [model for model in target.twin.targets[:1] if model != target.model]
    for model in models:
        for wrong, seen in (await _whole(target, model), await _streamed(target, model)):
            faults += [f"{model}: {fault}" for fault in wrong]
            found.saw(seen)
    wrong, seen = await _refused(target)
    faults += wrong
    found.saw(seen)
    found.measured = f"{len(found.evidence)} answers of {', '.join(models)}: {len(faults)} deviations"
    return found.failed("; ".join(faults[:6])) if faults else found.passed()


async def _whole(target: Target, model: str) -> tuple[list[str], Evidence]:
    reply = await target.send("POST", "/v1/chat/completions", target.chat(ASK) | {"model": model})
    seen = target.http.evidence(reply)
    if reply.status != 200:
        return [f"answered {reply.status}"], seen
    try:
        answer = msgspec.json.decode(reply.body, type=_Completion)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return [f"the whole answer: {error}"], seen
    faults = [] if answer.choices and answer.choices[0].message.content else ["the whole answer has no content"]
    if not reply.headers.get("content-type", "").startswith("application/json"):
        faults.append(f"the whole answer is {reply.headers.get('content-type')}")
    return faults + _usage(answer.usage), seen


def _usage(usage: _Usage) -> list[str]:
    if usage.total_tokens != usage.prompt_tokens + usage.completion_tokens or usage.prompt_tokens < 1:
        return [f"usage does not add up: {msgspec.json.encode(usage).decode()}"]
    return []


async def _streamed(target: Target, model: str) -> tuple[list[str], Evidence]:
    body = target.chat(ASK, stream=True, stream_options={"include_usage": True}) | {"model": model}
    async with target.stream("POST", "/v1/chat/completions", body) as stream:
        data = [event.data async for event in stream.events()]
        reply = stream.reply()
    return _stream_faults(reply, data), target.http.evidence(reply)


def _stream_faults(reply: Reply, data: list[bytes]) -> list[str]:
    if reply.status != 200:
        return [f"answered {reply.status} to a stream"]
    faults = []
    if not reply.headers.get("content-type", "").startswith("text/event-stream"):
        faults.append(f"the stream is {reply.headers.get('content-type')}")
    if not data or data[-1] != b"[DONE]":
        faults.append("the stream does not end with [DONE]")
    try:
        chunks = [msgspec.json.decode(each, type=_Chunk) for each in data if each != b"[DONE]"]
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return [*faults, f"a chunk of the stream: {error}"]
    if len({chunk.id for chunk in chunks}) != 1:
        faults.append("the chunks have different ids")
    choices = [choice for chunk in chunks for choice in chunk.choices]
    if not choices or choices[0].delta.role != "assistant":
        faults.append("the first delta does not say its role")
    if sum(choice.finish_reason is not None for choice in choices) != 1:
        faults.append("not exactly one finish_reason")
    if not "".join(choice.delta.content or "" for choice in choices):
        faults.append("the stream has no content")
    last = chunks[-1] if chunks else None
    if last is None or last.choices or last.usage is None:
        faults.append("with include_usage, the last chunk is not one of usage alone")
    else:
        faults += _usage(last.usage)
    return faults


async def _refused(target: Target) -> tuple[list[str], Evidence]:
    """The error for a model that does not exist, which is what clients turn into their exceptions."""
    model = "golive-check-no-such-model"
    reply = await target.send("POST", "/v1/chat/completions", target.chat(ASK) | {"model": model})
    seen = target.http.evidence(reply, "a model that does not exist")
    faults = [] if reply.status in (400, 404) else [f"an unknown model is answered {reply.status}"]
    try:
        msgspec.json.decode(reply.body, type=_ErrorBody)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        faults.append(f"the error's body: {error}")
    return faults, seen


@check(
    "MD-1.chain",
    row="MD-1",
    title="When the first target refuses before its first token, the next one answers",
    phase="resilience",
    severity="blocker",
    needs={"inject", "golive", "agent"},
    remediation="Give each tier a chain of two targets or more, at different providers.",
)
async def chain(target: Target) -> Result:
    """The first target's connection is reset once; the user must see one answer, and the journal both attempts."""
    need_agent(target)
    found = Finding("outcome completed, answered by the second target")
    targets = course(target.twin).tier.chain
    if len(targets) < 2:
        return found.unknown(
            f"the agent's chain has one target ({targets[0]}): add a second, best at another provider; with that one "
            "out, nobody answers"
        )
    first, second = targets[0], targets[1]
    script = Script(refuse=True)
    found.saw(await target.twin.simulator.play(script, times=1, models=[first.partition("/")[2]]))
    reply, run = await target.run(target.question("Is anybody there?"))
    found.saw(target.http.evidence(reply))
    journal, events = await target.journal(str(run.get("run")))
    found.saw(journal)
    failed = _targets(events, "model.failed")
    answered = _targets(events, "model.finished")
    whole = run.get("outcome") == "completed"
    found.measured = (
        f"{whole:d} of 1 answered: {run.get('outcome')} after {reply.seconds:.3f} s; refused by {', '.join(failed)}, "
        f"answered by {', '.join(answered)}; {in_words(str(run.get('text') or ''), str(run.get('message') or ''))}; "
        "in real time"
    )
    if not whole or not run.get("text"):
        return found.failed(f"the run ended as {run.get('outcome')} ({run.get('reason')})")
    if failed != [first] or answered != [second]:
        return found.failed(f"{first} was to refuse and {second} to answer")
    return found.passed()


def _targets(events: list[dict[str, Any]], kind: str) -> list[str]:
    return [str(event["body"].get("target")) for event in events if event["kind"] == kind]
