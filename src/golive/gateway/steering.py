"""What people do to runs over HTTP: cancel, resume, decide, begin again, fork; and what runs wait for."""

from typing import Annotated

from msgspec import Meta, Struct

from golive.config.schema import ServerConfig
from golive.core.errors import InvalidRequest
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.language import languages
from golive.gateway.pages import page
from golive.gateway.permit import reach
from golive.gateway.plain import plain_run
from golive.gateway.routes import Answer, Param, Route
from golive.gateway.runs import query_params, sim_headers
from golive.gateway.whose import USER_PARAM, confined
from golive.runtime.api import RunRequest, RunResult
from golive.runtime.service import Runtime
from golive.store.ports import DecisionRow

PAGE = 200


class CancelBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`undo`: have what the run's tools did taken back, where they declare how."""

    reason: Annotated[str, Meta(max_length=1_000)] = ""
    undo: bool = False


class ResumeBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`force`: also where another server may be in the middle of a tool call."""

    force: bool = False


class DecisionBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`content`: what the model is told, where the choice is that a call was carried out. `note` is for the journal."""

    choice: Annotated[str, Meta(min_length=1, max_length=100)]
    note: Annotated[str, Meta(max_length=1_000)] = ""
    content: Annotated[str, Meta(max_length=100_000)] = ""


class RetryBody(Struct, frozen=True, forbid_unknown_fields=True):
    metadata: dict[str, str] = {}


class ForkBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`step`: the first of the run's turns that is made anew."""

    step: Annotated[int, Meta(ge=1, le=1_000)]
    metadata: dict[str, str] = {}


class DecisionsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    run: str | None = None
    pending: bool = False
    before: Annotated[str, Meta(pattern=r"^dec_[0-9a-z]{1,60}$")] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE)] = 50


class DecisionsPage(Struct, frozen=True):
    """Decisions, newest first. `next` is the `before` of the next page; null on the last one."""

    data: list[DecisionRow]
    next: str | None


class SteeringFaces:
    """Handlers of what changes the course of runs."""

    def __init__(self, runtime: Runtime, server: ServerConfig) -> None:
        self._runtime = runtime
        self._limit = server.max_body_bytes
        self._cancel_body = Reader(CancelBody)
        self._resume_body = Reader(ResumeBody)
        self._decision_body = Reader(DecisionBody)
        self._retry_body = Reader(RetryBody)
        self._fork_body = Reader(ForkBody)
        self._decisions_query = Reader(DecisionsQuery)

    async def cancel(self, exchange: Exchange) -> None:
        """POST /v1/runs/{run}/cancel"""
        body = await self._cancel_body.read(exchange, self._limit, empty=CancelBody())
        _one_line("reason", body.reason)
        principal, run = exchange.principal, exchange.params["run"]
        result = await self._runtime.steering.cancel(principal.tenant, run, principal.id, body.reason, undo=body.undo)
        await exchange.json(result)

    async def resume(self, exchange: Exchange) -> None:
        """POST /v1/runs/{run}/resume"""
        body = await self._resume_body.read(exchange, self._limit, empty=ResumeBody())
        tenant, run = exchange.principal.tenant, exchange.params["run"]
        await exchange.json(await self._runtime.steering.resume(tenant, run, force=body.force))

    async def retry(self, exchange: Exchange) -> None:
        """POST /v1/runs/{run}/retry"""
        body = await self._retry_body.read(exchange, self._limit, empty=RetryBody())
        request = self._request(exchange, body.metadata)
        run = await self._runtime.steering.retry(exchange.principal.tenant, exchange.params["run"], request)
        await self._accepted(exchange, run)

    async def fork(self, exchange: Exchange) -> None:
        """POST /v1/runs/{run}/fork"""
        body = await self._fork_body.read(exchange, self._limit)
        request = self._request(exchange, body.metadata)
        run = await self._runtime.steering.fork(exchange.principal.tenant, exchange.params["run"], body.step, request)
        await self._accepted(exchange, run)

    async def decisions(self, exchange: Exchange) -> None:
        """GET /v1/decisions"""
        query = self._decisions_query.query(exchange.scope["query_string"])
        tenant, seen = exchange.principal.tenant, reach(exchange, "runs.read", "decision")

        only = confined(exchange)
        users: dict[str, str | None] = {}

        async def rows(before: str | None, limit: int) -> list[DecisionRow]:
            found = await self._runtime.decisions(tenant, query.run, query.pending, before, limit)
            if only is not None:
                users.update({row.run: (await self._runtime.owner_of(tenant, row.run))[1] for row in found})
            return found

        def shown(row: DecisionRow) -> bool:
            return seen(row.agent) and only in (None, users.get(row.run))

        data, after = await page(rows, lambda row: row.id, shown, query.before, query.limit)
        await exchange.json(DecisionsPage(data, after))

    async def decide(self, exchange: Exchange) -> None:
        """POST /v1/runs/{run}/decisions/{decision}"""
        body = await self._decision_body.read(exchange, self._limit)
        _one_line("note", body.note)
        principal, params = exchange.principal, exchange.params
        result = await self._runtime.steering.decide(
            principal.tenant, params["run"], params["decision"], body.choice, by=principal.id, note=body.note,
            content=body.content,
        )  # fmt: skip
        await exchange.json(result)

    def _request(self, exchange: Exchange, metadata: dict[str, str]) -> RunRequest:
        """Who asks for the new run; the rest is the old one's. Nobody need watch it."""
        plain_run(None, metadata)
        return RunRequest(
            agent="", input=(), principal=exchange.principal, background=True, metadata=metadata,
            headers=sim_headers(exchange), languages=languages(exchange, None),
        )  # fmt: skip

    async def _accepted(self, exchange: Exchange, run: str) -> None:
        exchange.run = run
        headers = [(b"location", b"/v1/runs/" + run.encode()), (b"x-request-id", run.encode())]
        await exchange.json(await self._runtime.result(exchange.principal.tenant, run), 202, headers)

    def routes(self) -> list[Route]:
        """All routes of this face."""
        run = Param("run", "path", "The run's id, such as run_01jd3k…")
        made = Answer(202, "The new run as it stands; `Location` says where it is.", RunResult)
        return [
            Route(
                "POST", "/v1/runs/{run}/cancel", "runs.cancel", self.cancel, "Cancel a run", kind="run", tag="Runs",
                params=(run,), body=CancelBody,
                answers=(Answer(200, "The run, finished; what it had so far stays.", RunResult),),
                description="Wherever it is carried. With `undo` what its tools did is taken back where they say how.",
            ),
            Route(
                "POST", "/v1/runs/{run}/resume", "runs.resume", self.resume, "Go on with a run here", kind="run",
                tag="Runs", params=(run,), body=ResumeBody,
                answers=(Answer(200, "The run as it stands.", RunResult),),
                description=(
                    "For a run whose server hangs: this one takes it over. Others resume by themselves. 409 (run.open) "
                    "in the middle of a tool call, whose server may be at work, unless `force`: what comes of the call "
                    "may not be known then."
                ),
            ),
            Route(
                "POST", "/v1/runs/{run}/retry", "runs.create", self.retry, "Begin a run again", kind="run", tag="Runs",
                params=(run,), body=RetryBody, answers=(made,),
                description=(
                    "A new run in the background with the same input, agent and conversation. 409 (run.open) while "
                    "this one has not ended: cancel it first."
                ),
            ),
            Route(
                "POST", "/v1/runs/{run}/fork", "runs.create", self.fork, "Fork a run at a step", kind="run", tag="Runs",
                params=(run,), body=ForkBody, answers=(made,),
                description=(
                    "A new run in the background that knows what this one knew before that step. What tools did before "
                    "is not done again; from that step on they are called again, under new keys. Of calls that were "
                    "taken back since the new run is told so."
                ),
            ),
            Route(
                "GET", "/v1/decisions", "runs.read", self.decisions, "List what runs wait for", kind="run",
                narrows=True, tag="Runs",
                params=(*query_params(DecisionsQuery), USER_PARAM),
                answers=(Answer(200, "A page of decisions, made and pending.", DecisionsPage),),
            ),
            Route(
                "POST", "/v1/runs/{run}/decisions/{decision}", "runs.decide", self.decide, "Make a decision",
                kind="run", tag="Runs", params=(run, Param("decision", "path", "The decision's id.")),
                body=DecisionBody, answers=(Answer(200, "The run as it stands; it goes on.", RunResult),),
            ),
        ]  # fmt: skip


def _one_line(field: str, text: str) -> None:
    if not text.isprintable():
        raise InvalidRequest(f"{field} holds control characters.", remedy="Send one line of plain text.", field=field)
