"""The check's hand on the simulated provider: scripts, outage, bill and request log, over its HTTP interface."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from golive.checklist.http import Http, Reply
from golive.checklist.results import Evidence
from golive.sim.bill import Totals
from golive.sim.control import Outage
from golive.sim.script import Script
from golive.sim.server import PLACES

_ANSWERING = ("/chat/completions", "/responses", "/messages", ":generateContent", ":streamGenerateContent")
"""Ends of the paths at which a model answers."""


class Asked(NamedTuple):
    """A model call as the provider received it. `at`: seconds of the provider's clock; `target`: `provider/model`;
    `credential`: the same for calls that came with the same one."""

    at: float
    target: str
    credential: str = ""


class SimulatorControl:
    """Speaks to one simulator. `models`: names of the configuration that it is to know."""

    def __init__(self, http: Http, base_url: str, models: Sequence[str]) -> None:
        self._http = http
        self._root = base_url.removesuffix("/v1")
        self._models = tuple(dict.fromkeys(models))

    async def play(self, script: Script, *, times: int | None = None, models: Sequence[str] = ()) -> Evidence:
        """From now on the models (by default all) follow the script, for `times` requests each or for good.

        A model named as a target, `provider/model`, follows it at that provider alone. Who is given the beginning of an
        answer goes on with it: only targets of which the configuration says so (`prefill`) are given one.
        """
        script = msgspec.structs.replace(script, prefill=script.prefill or "continue")
        done: Reply | None = None
        for model in models or self._models:
            body = {"model": model, "script": script} | ({} if times is None else {"times": times})
            done = await self._ask("POST", "/sim/scripts", body)
        assert done is not None, "a configuration without models has nothing to script"
        return self._http.evidence(done, f"installed for {', '.join(models or self._models)}")

    async def calm(self) -> None:
        """Ends outages and scripts: every model says a few words and calls no tool."""
        await self._ask("DELETE", "/sim/outage")
        await self._ask("DELETE", "/sim/scripts")
        if self._models:
            await self.play(Script(mode="text", tokens=24))

    async def accept(self, *keys: str) -> None:
        """From now on the provider takes these keys, and no other."""
        await self._ask("PUT", "/sim/keys", {"accept": keys})

    async def begin_outage(self, outage: Outage) -> Evidence:
        """The provider is out."""
        return self._http.evidence(await self._ask("POST", "/sim/outage", outage))

    async def end_outage(self) -> Evidence:
        return self._http.evidence(await self._ask("DELETE", "/sim/outage"))

    async def bill(self) -> tuple[Evidence, Totals, list[dict[str, Any]]]:
        """What it would have charged so far: totals, and a line per call that has ended."""
        reply = await self._ask("GET", "/sim/bill")
        found = reply.json()
        return self._http.evidence(reply), Totals(**found["totals"]), found["lines"]

    async def calls(self) -> int:
        """How many calls have ended, good or bad."""
        return (await self.bill())[1].calls

    async def asked(self) -> int:
        """How many model calls have come in, ended or not (the newest 1,000 are remembered)."""
        return len(await self.received())

    async def received(self) -> list[Asked]:
        """The model calls that have come in, oldest first (the newest 1,000 are remembered)."""
        requests = (await self._ask("GET", "/sim/requests")).json()["requests"]
        return [
            Asked(request["at"], _target(request), request["credential"])
            for request in requests
            if request["path"].endswith(_ANSWERING)
        ]

    async def credentials(self, word: str) -> list[str]:
        """With which credential each model call came in whose body has the word in it, oldest first."""
        requests = (await self._ask("GET", "/sim/requests")).json()["requests"]
        return [
            str(request["credential"])
            for request in requests
            if request["path"].endswith(_ANSWERING) and word.encode() in msgspec.json.encode(request["body"])
        ]

    async def bodies(self, target: str) -> list[str]:
        """What the target was sent, the JSON of each model call, oldest first (the newest 1,000 are remembered)."""
        requests = (await self._ask("GET", "/sim/requests")).json()["requests"]
        return [
            msgspec.json.encode(request["body"]).decode()
            for request in requests
            if request["path"].endswith(_ANSWERING) and _target(request) == target
        ]

    async def forget(self) -> None:
        """Empties the request log, so that `asked` counts from here."""
        await self._ask("DELETE", "/sim/requests")

    async def _ask(self, method: str, path: str, body: object = None) -> Reply:
        return await self._http.send(method, self._root + path, body=body, remember=False)


def _target(request: dict[str, Any]) -> str:
    """Whom the request asked: the provider stands in the path, the model in the body or, with Gemini, in the path."""
    path, body = str(request["path"]), request["body"]
    provider = path.removeprefix(PLACES).partition("/")[0]
    if isinstance(body, dict) and "model" in body:
        return f"{provider}/{body['model']}"
    return f"{provider}/{path.partition('/models/')[2].rpartition(':')[0]}"
