"""Runs over HTTP: begin one (streamed, waited for, or in the background), look at it, follow it."""

from collections.abc import Awaitable
from typing import Annotated, Literal

from msgspec import Meta, Raw, Struct
from msgspec.structs import replace

from golive.config.schema import ServerConfig
from golive.core.errors import InvalidRequest
from golive.core.events import Event, OnDisconnect, Outcome, State
from golive.core.frames import Cursor
from golive.core.messages import ImagePart, Message, TextPart
from golive.core.people import MAX_USER_CHARS
from golive.core.words import LANGUAGE
from golive.gateway import outsiders
from golive.gateway.bodies import Reader
from golive.gateway.exchange import Exchange
from golive.gateway.language import LANGUAGE_PARAM, languages
from golive.gateway.pages import page
from golive.gateway.permit import reach
from golive.gateway.plain import plain_run
from golive.gateway.routes import Answer, Param, Route
from golive.gateway.sse import send_frames
from golive.gateway.watch import Watch
from golive.gateway.whose import USER_PARAM, confined, whose
from golive.runtime.api import RunRequest, RunResult
from golive.runtime.service import Runtime
from golive.store.ports import RunFilter, RunView
from golive.tenants.authorize import Principal

PAGE = 200
"""Most runs of one page."""
EVENTS_PAGE = 10_000
"""Most events of one page."""
LAST_SEQ = 2**53
"""Above every event's number; also the largest whole number that every JSON reader keeps exact."""


class InputText(Struct, frozen=True, tag_field="type", tag="text", forbid_unknown_fields=True):
    text: str


class InputImage(Struct, frozen=True, tag_field="type", tag="image", forbid_unknown_fields=True):
    url: str
    detail: str | None = None


class InputMessage(Struct, frozen=True, forbid_unknown_fields=True):
    """One turn of what the run begins with. An agent's tool calls are its own: nobody can hand it some that were."""

    role: Literal["system", "user", "assistant"]
    content: str | tuple[InputText | InputImage, ...]
    name: str | None = None

    def message(self) -> Message:
        """The same without the strictness."""
        content = self.content if isinstance(self.content, str) else tuple(_part(part) for part in self.content)
        return Message(self.role, content, self.name)


def _part(part: InputText | InputImage) -> TextPart | ImagePart:
    return TextPart(part.text) if isinstance(part, InputText) else ImagePart(part.url, part.detail)


NOT_EMPTY = {"minLength": 1, "minItems": 1}
"""For the schema only: the runtime itself says what is missing, in better words than a length."""


class RunBody(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run asked for: `input` is a text, or messages. `language` (`de`, `pt-BR`): in which to say what is missing.

    `user`: of a key, the user of the tenant whom it is for.
    """

    input: Annotated[str | tuple[InputMessage, ...], Meta(extra_json_schema=NOT_EMPTY)]
    stream: bool = False
    background: bool = False
    conversation_id: Annotated[str, Meta(min_length=1, max_length=200)] | None = None
    on_disconnect: OnDisconnect | None = None
    deadline_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None
    max_steps: Annotated[int, Meta(ge=1, le=1_000)] | None = None
    metadata: dict[str, str] = {}
    language: Annotated[str, Meta(pattern=LANGUAGE)] | None = None
    user: Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MAX_USER_CHARS})] | None = None

    def messages(self) -> tuple[Message, ...]:
        """The input as messages."""
        if isinstance(self.input, str):
            return (Message("user", self.input),) if self.input else ()
        return tuple(message.message() for message in self.input)


class RunsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    agent: str | None = None
    state: State | None = None
    outcome: Outcome | None = None
    conversation: str | None = None
    source: Literal["agent", "relay"] | None = None
    user: str | None = None
    before: Annotated[str, Meta(pattern=r"^run_[0-9a-z]{1,60}$")] | None = None
    limit: Annotated[int, Meta(ge=1, le=PAGE)] = 50


class RunsPage(Struct, frozen=True):
    """Runs, newest first. `next` is the `before` of the next page; null on the last one."""

    data: list[RunView]
    next: str | None


class EventsQuery(Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["sse", "json"] = "sse"
    after: Annotated[int, Meta(ge=0, le=LAST_SEQ)] = 0
    limit: Annotated[int, Meta(ge=1, le=EVENTS_PAGE)] = 1_000


class JournalEvent(Struct, frozen=True):
    """One durable event as the journal holds it."""

    seq: int
    epoch: int
    branch: str
    at: float
    kind: str
    body: Raw


class EventsPage(Struct, frozen=True):
    """Events in order. `next` is the `after` of the next page; null when these are all so far."""

    data: list[JournalEvent]
    next: int | None


def sim_headers(exchange: Exchange) -> tuple[tuple[str, str], ...]:
    """The headers that script the simulator; nobody but a provider named `sim` is ever sent them."""
    return tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in exchange.headers.items()
        if name.startswith(b"x-sim-")
    )


class RunFaces:
    """Handlers of /v1/agents/{agent}/runs and /v1/runs."""

    def __init__(self, runtime: Runtime, server: ServerConfig) -> None:
        self._runtime = runtime
        self._limit = server.max_body_bytes
        self._heartbeat_s = server.heartbeat_s
        self._run_body = Reader(RunBody, content=True)
        self._runs_query = Reader(RunsQuery)
        self._events_query = Reader(EventsQuery)

    async def begin(self, exchange: Exchange) -> None:
        """POST /v1/agents/{agent}/runs"""
        body = await self._run_body.read(exchange, self._limit)
        if body.stream and body.background:
            raise InvalidRequest(
                "stream and background cannot both be true: one answers with the run's events, the other at once.",
                remedy="Leave stream out, and follow the run with GET /v1/runs/{run}/events.",
                field="background",
            )
        plain_run(body.conversation_id, body.metadata)
        principal = exchange.principal
        run = await self._runtime.start(
            RunRequest(
                agent=exchange.params["agent"],
                input=body.messages(),
                principal=principal,
                user=whose(exchange, body.user),
                conversation=body.conversation_id,
                on_disconnect=body.on_disconnect,
                background=body.background,
                deadline_s=body.deadline_s,
                max_steps=body.max_steps,
                metadata=body.metadata,
                headers=sim_headers(exchange),
                languages=languages(exchange, body.language),
            )
        )
        exchange.run = run
        headers = [(b"location", b"/v1/runs/" + run.encode()), (b"x-request-id", run.encode())]
        if body.stream:
            frames = await self._runtime.subscribe(principal.tenant, run)
            await send_frames(exchange, frames, self._heartbeat_s, headers)
        elif body.background:
            await exchange.json(await self._runtime.result(principal.tenant, run), 202, headers)
        else:
            async with Watch(exchange):
                result = await self._runtime.wait(principal.tenant, run)
            await exchange.json(result, 200 if result.outcome else 202, headers)

    async def listing(self, exchange: Exchange) -> None:
        """GET /v1/runs"""
        query = self._runs_query.query(exchange.scope["query_string"])
        tenant, seen = exchange.principal.tenant, reach(exchange, "runs.read", "run")
        only = confined(exchange)
        if only is not None and query.user not in (None, only):
            await exchange.json(RunsPage([], None))
            return
        where = RunFilter(
            agent=query.agent, state=query.state, outcome=query.outcome, conversation=query.conversation,
            source=query.source, user=only or query.user,
        )  # fmt: skip

        def rows(before: str | None, limit: int) -> Awaitable[list[RunView]]:
            return self._runtime.runs(tenant, replace(where, before=before, limit=limit))

        data, after = await page(rows, lambda row: row.run, lambda row: seen(row.agent), query.before, query.limit)
        await exchange.json(RunsPage(data, after))

    async def show(self, exchange: Exchange) -> None:
        """GET /v1/runs/{run}"""
        await exchange.json(await self._runtime.result(exchange.principal.tenant, exchange.params["run"]))

    async def events(self, exchange: Exchange) -> None:
        """GET /v1/runs/{run}/events"""
        query = self._events_query.query(exchange.scope["query_string"])
        tenant, run = exchange.principal.tenant, exchange.params["run"]
        if query.format == "json":
            rows = await self._runtime.events(tenant, run, query.after, query.limit + 1)
            data = [_journal_event(exchange.principal, event) for event in rows[: query.limit]]
            await exchange.json(EventsPage(data, data[-1].seq if len(rows) > query.limit else None))
            return
        last = exchange.header(b"last-event-id")
        frames = await self._runtime.subscribe(tenant, run, Cursor.parse(last) if last else Cursor())
        await send_frames(exchange, frames, self._heartbeat_s, [(b"x-request-id", run.encode())])

    def routes(self) -> list[Route]:
        """All routes of this face."""
        run = Param("run", "path", "The run's id, such as run_01jd3k…")
        stream = "Events `run.accepted`, `text.delta`, `tool.started`, … `run.finished`, each with an `id:`."
        return [
            Route(
                "POST", "/v1/agents/{agent}/runs", "runs.create", self.begin, "Start a run", kind="agent", tag="Runs",
                params=(Param("agent", "path", "The agent's name."), LANGUAGE_PARAM, USER_PARAM),
                body=RunBody,
                answers=(
                    Answer(200, "The finished run; look at `outcome`.", RunResult),
                    Answer(200, f"With `stream`: {stream[:1].lower()}{stream[1:]}", media="text/event-stream"),
                    Answer(202, "With `background`, or where the run waits for a decision: as it stands.", RunResult),
                ),
                description=(
                    "`stream` answers with server-sent events from the first moment on, `background` at once; not both."
                ),
            ),
            Route(
                "GET", "/v1/runs", "runs.read", self.listing, "List runs", kind="run", narrows=True, tag="Runs",
                params=(*query_params(RunsQuery), USER_PARAM), answers=(Answer(200, "A page of runs.", RunsPage),),
            ),
            Route(
                "GET", "/v1/runs/{run}", "runs.read", self.show, "Show a run", kind="run", tag="Runs", params=(run,),
                answers=(Answer(200, "The run as it stands.", RunResult),),
            ),
            Route(
                "GET", "/v1/runs/{run}/events", "runs.read", self.events, "Follow a run, or read its journal",
                kind="run", tag="Runs",
                params=(
                    run, Param("Last-Event-ID", "header", "Continue behind this event, without loss or repetition."),
                    *query_params(EventsQuery),
                ),
                answers=(
                    Answer(200, stream, media="text/event-stream"),
                    Answer(200, "With `format=json`: the durable events.", EventsPage),
                ),
            ),
        ]  # fmt: skip


def _journal_event(principal: Principal, event: Event) -> JournalEvent:
    body = outsiders.journalled(principal, event)
    return JournalEvent(event.seq, event.epoch, event.branch, event.at, event.kind, Raw(body))


def query_params(query: type[Struct]) -> tuple[Param, ...]:
    """A query's fields as parameters."""
    return tuple(Param(name, "query", "") for name in query.__struct_fields__)
