"""`golive`, really broken: what the variable SABOTAGE names is taken out of the server before it starts.

Run in golive's place (`python broken_server.py serve …`), so that a check is held against a real server in which the
one thing it is about does not work.
"""

import os
import sys
from typing import Any

import msgspec

# Run as a script, so that this folder is where modules are looked for.
import broken_access  # type: ignore[import-not-found]  # isort: skip
import broken_audit  # type: ignore[import-not-found]  # isort: skip
import broken_edge  # type: ignore[import-not-found]  # isort: skip
import broken_erasing  # type: ignore[import-not-found]  # isort: skip
import broken_logins  # type: ignore[import-not-found]  # isort: skip
import broken_models  # type: ignore[import-not-found]  # isort: skip
import broken_runs  # type: ignore[import-not-found]  # isort: skip
import broken_sealing  # type: ignore[import-not-found]  # isort: skip
import broken_secrets  # type: ignore[import-not-found]  # isort: skip
import broken_suspending  # type: ignore[import-not-found]  # isort: skip
import broken_tenants  # type: ignore[import-not-found]  # isort: skip
import broken_tokens  # type: ignore[import-not-found]  # isort: skip


def step_cap() -> None:
    """The loop takes three steps more than the limit says."""
    from golive.runtime import loop

    real = loop.step
    loop.step = lambda state, limits: real(state, msgspec.structs.replace(limits, max_steps=limits.max_steps + 3))


def deadline() -> None:
    """Each run has an hour, whatever was asked for."""
    from golive.runtime.carrier import Carrier

    real = Carrier.prepare

    def prepare(self: Any, lease: Any, state: Any, policy: Any, version: Any, limits: Any, _: float, *more: Any) -> Any:
        return real(self, lease, state, policy, version, limits, 3_600.0, *more)

    Carrier.prepare = prepare  # type: ignore[method-assign]


def log() -> None:
    """Each request's credential is written to the log, and no redaction stands before it."""
    from golive.gateway.server import Gateway

    real = Gateway.__call__

    async def call(self: Any, scope: Any, receive: Any, send: Any) -> None:
        sys.stderr.write(f"request {scope['path']} {dict(scope['headers']).get(b'authorization', b'').decode()}\n")
        await real(self, scope, receive, send)

    Gateway.__call__ = call  # type: ignore[method-assign]


def doors() -> None:
    """Whoever has no valid key is let in as an administrator, but for key administration."""
    from golive.core.errors import Unauthenticated
    from golive.tenants.authentication import Credentials
    from golive.tenants.authorize import Principal
    from golive.tenants.roles import BUILT_IN

    real = Credentials.authenticate

    async def authenticate(self: Any, header: str) -> Principal:
        try:
            return await real(self, header)
        except Unauthenticated:
            return Principal("default", "anybody", "operator", BUILT_IN["operator"].grants)

    Credentials.authenticate = authenticate  # type: ignore[method-assign]


def revocation() -> None:
    """A revoked key goes on working."""
    from golive.tenants import keyring

    keyring.usable = lambda row, now: True


def health() -> None:
    """Providers are always reported as up."""
    from golive.core.health import Dependency
    from golive.models.health import ProviderHealth

    async def check(self: Any, *_: Any) -> Dependency:
        return Dependency(self.provider, "provider", "up")

    ProviderHealth.check = check  # type: ignore[method-assign,assignment]


def readiness() -> None:
    """The server calls itself unready while a provider is out, as servers do that mean too well."""
    from golive.core.errors import StoreUnavailable
    from golive.gateway.health import HealthFaces

    async def ask(self: Any) -> StoreUnavailable | None:
        down = any(dependency.state == "down" for dependency in await self._dependencies())
        return StoreUnavailable("a provider is out") if down else None

    from golive.gateway import health as module

    module.READY_FOR_S = 0.0
    HealthFaces._ask = ask  # type: ignore[method-assign,assignment]


def worker_secrets() -> None:
    """Workers are given the whole environment of the server."""
    from golive.workers import pool

    pool.worker_environment = lambda environ, names, home: dict(environ) | {"HOME": home}


def inline_tools() -> None:
    """Tools run inside the server."""
    from golive import app, served
    from golive.core.health import Dependency
    from golive.workers.inline import InlineToolset

    class Inside(InlineToolset):
        def __init__(self, *args: Any, environ: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

        def health(self) -> Dependency:
            return Dependency("inside", "worker", "up")

    app.WorkerToolset = served.WorkerToolset = Inside  # type: ignore[misc,assignment]


def hold() -> None:
    """The server keeps each stream back until its end."""
    from golive.gateway.exchange import Exchange

    held: dict[int, bytes] = {}
    real = Exchange.end

    async def write(self: Any, data: bytes) -> None:
        held[id(self)] = held.get(id(self), b"") + data

    async def end(self: Any, data: bytes = b"") -> None:
        await real(self, held.pop(id(self), b"") + data)

    Exchange.write = write  # type: ignore[method-assign]
    Exchange.end = end  # type: ignore[method-assign]


def words() -> None:
    """Whatever happened, users are told the same, as agents mostly do."""
    from golive.runtime import degrading

    degrading.say = lambda messages, language, way, **values: "agent failed"


def nameless() -> None:
    """Nothing that is missing is named."""
    from golive.runtime import ending, loop

    loop.missing = ending.missing = lambda finish, state: ()


def formless() -> None:
    """An answer is whole if it is JSON, whatever its schema says."""
    from golive.config.following import Follows

    Follows.mismatch = lambda self, value: None  # type: ignore[method-assign]


def deaf() -> None:
    """Whoever cancels a run, or leaves it, is not heard."""
    from golive.runtime.interrupt import Interruptible

    Interruptible.interrupt = lambda self, reason: None  # type: ignore[method-assign]


def critical() -> None:
    """Without whose result no answer is whole, nobody minds."""
    from golive.runtime import loop

    loop.settled = lambda finish, state, critical: finish


def fragile() -> None:
    """A failed tool ends its run."""
    from golive.core.errors import ToolError
    from golive.runtime.effects import Effects

    real = Effects._call

    async def call(self: Any, effect: Any) -> Any:
        finished = await real(self, effect)
        if finished is not None and not finished.ok:
            raise ToolError(finished.content)
        return finished

    Effects._call = call  # type: ignore[method-assign]


def tool_timeout() -> None:
    """Every tool has an hour, whatever is configured."""
    from golive.workers import pool

    real = pool.tool_timeouts
    pool.tool_timeouts = lambda *args: {name: (3_600.0, limit) for name, (_, limit) in real(*args).items()}


def doubt() -> None:
    """Whatever the supervisor says, and however unsure it is, the cheap tier answers."""
    from golive.runtime import supervisor
    from golive.runtime.routing import Decision

    supervisor.decided = lambda text: Decision("direct", "supervisor")


def dawdle() -> None:
    """The supervisor is waited for as long as its provider may take."""
    from golive.runtime.loop import RunLoop

    RunLoop._aside_context = lambda self, abandoned, seconds: self._context(abandoned)  # type: ignore[method-assign]


def yes_man() -> None:
    """Whatever the judge says, the answer passes."""
    from golive.runtime import supervisor
    from golive.runtime.judging import Verdict

    supervisor.judged = lambda text: Verdict(True, "judge")


def leak() -> None:
    """What is to be judged is shown as it comes."""
    from golive.runtime.supervisor import Supervisor

    Supervisor.holds = lambda self, routed: False  # type: ignore[method-assign]


def forgetful() -> None:
    """All earlier turns are condensed, the newest as well."""
    from golive.memory.history import Past

    Past.older = lambda self, over: self.runs if self.chars > over else ()  # type: ignore[method-assign]


def careless() -> None:
    """The older part of a conversation goes, whether or not there is a summary of it."""
    from golive.runtime.supervisor import Supervisor

    real = Supervisor.condense

    async def condense(self: Any, step: int, past: Any) -> Any:
        over = self._agent.routing.summarise_over
        older = past.older(over)
        after = await real(self, step, past)
        return past.condensed(older, "") if after is past else after

    Supervisor.condense = condense  # type: ignore[method-assign]


def diligent() -> None:
    """No run begins with the summary of the one before it."""
    from golive.runtime.loop import RunLoop

    RunLoop.summarises = False  # type: ignore[assignment]


def untold() -> None:
    """Nobody is told when an agent may answer again."""
    from golive.gateway import face

    face.retry_headers = lambda result: []


def timeless() -> None:
    """A run does not know when a new one may be answered."""
    from golive.runtime import step

    step.retry_after_s = lambda error: None


if __name__ == "__main__":
    for name in os.environ["SABOTAGE"].split(","):
        parts = (
            broken_access, broken_audit, broken_edge, broken_logins, broken_models,
            broken_erasing, broken_runs, broken_sealing, broken_secrets,
            broken_suspending, broken_tenants, broken_tokens,
        )  # fmt: skip
        {**{key: value for part in parts for key, value in vars(part).items()}, **globals()}[name]()
    from golive.cli.main import main

    main()
