"""Does a run say so whose end comes from outside? Cancelled, left by its reader, or left behind with its version gone.

The model is slow and healthy, so that nothing but what is done here can end the run; the words are held against the
agent's own, as in `degrading.py`.
"""

import asyncio
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, NamedTuple

from golive.checklist import twin_config
from golive.checklist.checks.degrading import MOST_LANGUAGES, Fall, named, register, settled, told, variants, wrong
from golive.checklist.drill import WORK_S, course, scale, too_long
from golive.checklist.http import Reply, Stream
from golive.checklist.results import Finding, Result
from golive.checklist.sse import Arrived
from golive.checklist.target import Target, need_agent
from golive.checklist.twin import Twin
from golive.config.agents import AGENT_FILE
from golive.runtime.holding import BEATS, PATIENCE
from golive.sim.script import Script

SENTENCE = "The tide comes in slowly, and the boats rise with it. "
SHARE = 0.25
"""Of the patience between two tokens: how long the model takes for each."""
LONGEST_PACE_S = 0.5
LOOK_S = 0.05
GIVE_UP_S = 5.0
"""Longest wait for a run's end, seconds of the machine beyond what is configured."""
OTHER_LABEL = "golive-check"
"""Of the version that takes the place of the runs' own."""


class Ending(NamedTuple):
    """`end` does what ends the runs, whose streams are open, and `within_s` (the server's clock) must have ended them.

    `left`: whether their readers leave first. `alone_s`: how long nobody carries them, besides: that is not their time.
    """

    way: str
    outcome: str
    end: Callable[[Twin, list[str]], Awaitable[None]]
    within_s: Callable[[Twin], float] = lambda _: 0.0
    left: bool = False
    alone_s: Callable[[Twin], float] = lambda _: 0.0


async def _cancel(twin: Twin, runs: list[str]) -> None:
    for run in runs:
        await twin.send("POST", f"/v1/runs/{run}/cancel", {})


async def _leave(_twin: Twin, _runs: list[str]) -> None:
    """Nothing more than that the readers have left."""


async def _stop(twin: Twin, _runs: list[str]) -> None:
    """The server stops; the one that follows has another version of the agent. The next check gets the first one back.

    A run whose version is served goes on; whose version is not, and whose reader is to wait for no person, ends.
    """
    path = twin.folder / "agents" / str(twin.agent) / AGENT_FILE
    before = path.read_bytes()
    await twin.process.stop()
    settings = tomllib.loads(before.decode()) | {"version": OTHER_LABEL}
    path.write_text(twin_config.toml(settings), encoding="utf-8")
    twin.worn = True
    try:
        await twin.process.start()
    finally:
        path.write_bytes(before)


def _left_to_others_s(twin: Twin) -> float:
    """How long a server leaves a run to others whose version it does not serve."""
    return (PATIENCE + 1 / BEATS) * twin.loaded.config.server.lease_s


ENDINGS: dict[str, Ending] = {
    "cancelled": Ending("cancelled", "cancelled", _cancel),
    "disconnected": Ending(
        "disconnected", "cancelled", _leave, lambda twin: twin.loaded.config.server.disconnect_grace_s, left=True
    ),
    "interrupted": Ending("interrupted", "failed", _stop, alone_s=_left_to_others_s),
}
"""By the end of the check's id."""


async def _ends(target: Target, ending: Ending) -> Result:
    """One run for each language of the agent, all of them open at once."""
    messages = target.twin.loaded.agents[need_agent(target)].config.messages
    twin = await target.twin.fast()
    found = Finding(f"outcome {ending.outcome}, the words for it, the text so far, and the answer named as missing")
    within_s = ending.within_s(twin)
    over_s = within_s + ending.alone_s(twin)
    if why := too_long(twin, over_s) or _impatient(twin, within_s):
        return found.unknown(why)
    script = _slow(twin, within_s)
    found.saw(await twin.simulator.play(script))
    languages = variants(messages)[:MOST_LANGUAGES]
    runs: list[str] = []
    async with AsyncExitStack() as open_streams:
        streams = [await _begin(twin, open_streams, language) for language in languages]
        events = [stream.events() for stream in streams]
        for stream, arriving in zip(streams, events, strict=True):
            if not await _speaks(arriving):
                found.saw(twin.http.evidence(stream.reply()))
                return found.failed(f"no run to end: HTTP {stream.status}, and no text came")
            runs.append(stream.headers.get("x-request-id", ""))
        if ending.left:
            await open_streams.aclose()
        began = twin.clock.monotonic()
        await ending.end(twin, runs)
        longest_s = over_s / twin.speed + WORK_S + GIVE_UP_S
        replies = [await _ended(twin, run, began + longest_s) for run in runs]
        seconds = (twin.clock.monotonic() - began) * twin.speed
    fall = Fall(way=ending.way, script=script, outcomes=(ending.outcome,), reasons=(ending.way,), text=True)
    faults: list[str] = []
    heard: list[str] = []
    for language, (reply, run) in zip(languages, replies, strict=True):
        found.saw(twin.http.evidence(reply, f"over within {seconds:.1f} s {scale(twin)}"))
        faults += [f"{named(language)}{fault}" for fault in wrong(fall, run, messages, language, twin)]
        heard.append(f"{named(language)}{run.get('outcome')} ({run.get('reason')}), {told(run)}")
    found.measured = f"{'; '.join(heard)}; all over within {seconds:.1f} s {scale(twin)}"
    return found.failed("; ".join(faults)) if faults else settled(found, messages, ending.way)


def _slow(twin: Twin, within_s: float) -> Script:
    """A model that speaks for much longer than the runs are to last, and is never given up for its slowness."""
    pace_s = min(LONGEST_PACE_S, course(twin).between_tokens_s * SHARE)
    words = (within_s + (WORK_S + GIVE_UP_S) * twin.speed) / pace_s
    return Script(text=SENTENCE * (1 + round(words / len(SENTENCE.split()))), pace_ms=pace_s * 1_000)


def _impatient(twin: Twin, within_s: float) -> str:
    """Why a run's own limits end it first; empty where they do not."""
    patience = course(twin)
    longest_s = min(patience.deadline_s, patience.call_s)
    if longest_s > within_s + WORK_S * twin.speed:
        return ""
    return f"the agent's time limits end each run after {longest_s:g} s, before {within_s:g} s of waiting are over"


async def _begin(twin: Twin, open_streams: AsyncExitStack, language: str) -> Stream:
    body: dict[str, Any] = {"input": twin.question("Tell me of the tide."), "stream": True, "on_disconnect": "cancel"}
    body |= {"language": language} if language else {}
    return await open_streams.enter_async_context(twin.stream("POST", f"/v1/agents/{twin.agent}/runs", body))


async def _speaks(events: AsyncIterator[Arrived]) -> bool:
    """Reads until the first text; whether there is any."""
    async for event in events:
        if event.event == "text.delta":
            return True
    return False


async def _ended(twin: Twin, run: str, end: float) -> tuple[Reply, dict[str, Any]]:
    """The run as it tells of itself once it is over, or at `end` of the machine's clock, when it should long be."""
    while True:
        reply = await twin.send("GET", f"/v1/runs/{run}")
        found = reply.json()
        view = found if isinstance(found, dict) else {}
        if view.get("outcome") or twin.clock.monotonic() >= end:
            return reply, view
        await asyncio.sleep(LOOK_S)


for _end, _one in ENDINGS.items():
    register(_end, _one.way, partial(_ends, ending=_one))
