"""What checks are held against: a server at an address, spoken to over HTTP alone.

`Remote` is any server that speaks chat completions; whether it is golive is found out, and then its own API is used
too. A twin (`twin.py`) is a target with handles. Owns the requests that checks share; what is to be proved is theirs.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import msgspec

from golive.checklist.http import TIMEOUT_S, Http, Reply, Stream
from golive.checklist.registry import NEEDS
from golive.checklist.results import Evidence
from golive.core.clock import Clock
from golive.core.errors import ConfigError, GoliveError

if TYPE_CHECKING:
    from golive.checklist.twin import Twin

PROBLEM = "urn:golive:problem:"
"""Begins the `type` of golive's problem answers."""
KEY_SHOWN = "$GOLIVE_KEY"


class TargetUnusable(ConfigError):
    """The target answers nothing that checks could be held against."""

    code = "check.target"


class Target:
    """A server under check.

    `url`: without /v1 and trailing slash. `model`: what chat completions are asked of. `agent`: an agent's name, where
    the server is golive (`golive`) and serves one. `handles`: what it offers beyond chat completions.
    """

    kind: Literal["remote", "twin"] = "remote"

    def __init__(self, http: Http, url: str, key: str) -> None:
        self.http = http
        self.url = url.rstrip("/").removesuffix("/v1")
        self.key = key
        self.model = ""
        self.agent: str | None = None
        self.others: tuple[str, ...] = ()
        """Agents served there that are not the one to check."""
        self.golive = False
        self.handles: set[str] = set()
        if key:
            http.conceal(key, KEY_SHOWN)

    @property
    def clock(self) -> Clock:
        return self.http.clock

    @property
    def twin(self) -> "Twin":
        """The target as a twin; for checks that declared one of its handles."""
        raise TypeError("this target is no twin; a check that uses one declares the handle it needs")

    async def reset(self) -> None:
        """Called before each check: what an earlier one provoked is undone."""

    def missing(self, needs: frozenset[str]) -> str:
        """What of `needs` the target does not offer, in words; empty when it offers all."""
        return "; ".join(NEEDS[need] for need in sorted(needs - self.handles))

    # ---- requests ----------------------------------------------------------------------------------------------------

    def authorized(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The headers of a request with the target's key."""
        return ({"Authorization": f"Bearer {self.key}"} if self.key else {}) | dict(extra or {})

    async def send(self, method: str, path: str, body: object = None, *, timeout_s: float = TIMEOUT_S) -> Reply:
        """One request with the target's key. Raises as `Http.send`."""
        return await self.http.send(method, self.url + path, headers=self.authorized(), body=body, timeout_s=timeout_s)

    def stream(
        self, method: str, path: str, body: object = None, *, last_id: str = "", timeout_s: float = TIMEOUT_S
    ) -> AbstractAsyncContextManager[Stream]:
        """One request with the target's key, read as a stream; `last_id` goes along as Last-Event-ID."""
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        return self.http.stream(
            method, self.url + path, headers=self.authorized(headers), body=body, timeout_s=timeout_s
        )

    def question(self, text: str) -> str:
        """The text, so put that the tier answers it which drills are about."""
        return text

    def chat(self, text: str, **fields: object) -> dict[str, object]:
        """The body of a chat completion of the target's model."""
        return {"model": self.model, "messages": [{"role": "user", "content": self.question(text)}], **fields}

    async def run(self, text: str, *, timeout_s: float = TIMEOUT_S, **fields: object) -> tuple[Reply, dict[str, Any]]:
        """A run of the agent, waited for: the answer and its JSON ({} where it is none)."""
        body = {"input": text, **fields}
        reply = await self.send("POST", f"/v1/agents/{self.agent}/runs", body, timeout_s=timeout_s)
        found = reply.json()
        return reply, found if isinstance(found, dict) else {}

    async def card(self) -> dict[str, Any]:
        """The agent's card.

        Raises:
            TargetUnusable: the server does not give it.
        """
        reply = await self.send("GET", f"/v1/agents/{self.agent}")
        found = reply.json()
        if reply.status != 200 or not isinstance(found, dict):
            raise TargetUnusable(
                f"GET /v1/agents/{self.agent} answered {reply.status}.", key="--agent", value=self.agent
            )
        return found

    async def journal(self, run: str) -> tuple[Evidence, list[dict[str, Any]]]:
        """The durable events of a run, as evidence and as data."""
        reply = await self.send("GET", f"/v1/runs/{run}/events?format=json")
        found = reply.json()
        return self.http.evidence(reply), found.get("data", []) if isinstance(found, dict) else []


def chat_text(data: bytes) -> str:
    """The text of one chat completion chunk; empty where it has none or is no chunk."""
    try:
        chunk = msgspec.json.decode(data)
        return str(chunk["choices"][0]["delta"].get("content") or "")
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, IndexError, TypeError, AttributeError):
        return ""


class Remote(Target):
    """A server that runs already. Nothing can be injected; whatever needs that is answered Unknown."""

    @classmethod
    @asynccontextmanager
    async def at(cls, url: str, key: str, clock: Clock, *, agent: str | None = None) -> AsyncIterator["Remote"]:
        """Looks at the server and finds out what it speaks.

        Args:
            url: with or without /v1.
            agent: the agent, or the `model` of chat completions, to check; by default the first one listed.

        Raises:
            TargetUnusable: no such address, or neither golive nor chat completions. Unreachable: nothing answers.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.username:
            raise TargetUnusable(
                f"{url!r} is not an address such as https://agents.example.com.",
                remedy="Give scheme and host; the key goes into --key or GOLIVE_KEY.",
                key="--target",
                value=url,
            )
        async with Http(clock) as http:
            remote = cls(http, url, key)
            await remote.discover(agent)
            yield remote

    async def discover(self, agent: str | None) -> None:
        """Finds out whether this is golive, and what to ask. Raises TargetUnusable."""
        reply = await self.send("GET", "/v1/agents")
        if _is_problem(reply):
            self.golive = True
            if reply.status in (401, 403):
                raise TargetUnusable(
                    f"{self.url} is golive and answers {reply.status} to the key that was given.",
                    remedy="Give a key of the role admin or operator: --key, or GOLIVE_KEY.",
                    key="--key",
                    value="",
                )
        cards = _agents(reply)
        if cards is not None:
            self.golive = True
            self._choose([str(card["name"]) for card in cards], agent)
        if not self.model:
            self.model = agent or await self._first_model()
        if self.golive:
            self.handles.add("golive")
        if self.agent is not None:
            self.handles.add("agent")

    def _choose(self, names: list[str], wanted: str | None) -> None:
        if wanted is not None and "/" in wanted:
            return  # a provider's model, through the plain gateway
        if wanted is not None and wanted not in names:
            raise TargetUnusable(
                f"there is no agent {wanted!r} at {self.url}.",
                remedy=f"Agents served there: {', '.join(names) or 'none'}.",
                key="--agent",
                value=wanted,
            )
        if names:
            self.agent = self.model = wanted or names[0]
            self.others = tuple(name for name in names if name != self.agent)

    async def _first_model(self) -> str:
        reply = await self.send("GET", "/v1/models")
        found = reply.json()
        try:
            return str(found["data"][0]["id"])
        except (KeyError, IndexError, TypeError):
            raise TargetUnusable(
                f"{self.url}/v1/models answered {reply.status} and lists no model.",
                remedy="Name the model (or agent) with --agent.",
                key="--agent",
                value="",
            ) from None


def _agents(reply: Reply) -> list[dict[str, Any]] | None:
    """The agents' cards, if the answer is golive's list of agents."""
    found = reply.json()
    if reply.status != 200 or not isinstance(found, dict) or not isinstance(found.get("data"), list):
        return None
    cards: list[dict[str, Any]] = found["data"]
    if all(isinstance(card, dict) and {"name", "version", "tiers"} <= card.keys() for card in cards):
        return cards
    return None


def _is_problem(reply: Reply) -> bool:
    found = reply.json()
    return isinstance(found, dict) and str(found.get("type", "")).startswith(PROBLEM)


def need_agent(target: Target) -> str:
    """The agent's name, for checks that declared the need."""
    if target.agent is None:
        raise GoliveError("this check needs an agent and did not declare it")
    return target.agent
