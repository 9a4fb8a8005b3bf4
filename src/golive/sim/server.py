"""The simulated provider as a whole: routes requests, checks keys, chooses scripts, starts answers, keeps the bill."""

import asyncio
import hmac
from collections.abc import Callable
from hashlib import blake2b

from golive.core.chance import SeededChance
from golive.core.clock import Clock
from golive.sim.anthropic.vendor import Anthropic
from golive.sim.bill import Bill, Ending
from golive.sim.compose import Answer, compose
from golive.sim.continuation import split
from golive.sim.control import Outage, control
from golive.sim.gemini.vendor import Gemini
from golive.sim.openai.vendor import OpenAI
from golive.sim.playback import Done, ErrorPlayback, StreamPlayback, WholePlayback
from golive.sim.prompt_cache import Hit, PromptCache
from golive.sim.protocol import Connection, Request
from golive.sim.received import RequestLog
from golive.sim.request import ChatRequest, Rejected
from golive.sim.script import AGENT, BUILT_IN, Script, ScriptInvalid, Scripts
from golive.sim.seals import Seals
from golive.sim.vendor import Dialect, Reply, Vendor, refusal, scripted_error

SCRIPT_HEADER = "x-sim-script"
BACKLOG = 4_096


class Simulator:
    """One simulated provider.

    Args:
        seed: what generated text depends on, together with the model and the messages; the same request says the same.
        clock: wall time of `created` and of the bill. Paces and silences follow the running loop.
        api_keys: keys that are accepted; empty: any, and none.
        default_script: what `sim-…` models without a script of their own follow.
    """

    def __init__(
        self, *, seed: int = 0, clock: Clock, api_keys: tuple[str, ...] = (), default_script: Script = AGENT
    ) -> None:
        self.bill = Bill()
        self.requests = RequestLog()
        self.scripts = Scripts(default_script)
        self.outage: Outage | None = None
        self.requests_seen = 0
        self.base_url = ""
        self.prompt_cache = PromptCache()
        self.seals = Seals(str(seed))
        self._vendors: tuple[Vendor, ...] = (Anthropic(), Gemini(), OpenAI())
        self._seed = seed
        self._clock = clock
        self._keys = tuple(key.encode() for key in api_keys)
        self._connections: dict[Connection, None] = {}
        self._server: asyncio.Server | None = None

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listens; port 0 picks a free one. Returns the base URL, which ends in /v1.

        Raises:
            OSError: the port is in use, or may not be used.
            ValueError: the port is no port number; uvloop would wrap it around.
        """
        if not 0 <= port <= 65_535:
            raise ValueError(f"port {port} is not between 0 and 65535")
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self._handle, self._refused, self._connections), host, port, backlog=BACKLOG
        )
        address = self._server.sockets[0].getsockname()
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        self.base_url = f"http://{shown}:{address[1]}/v1"
        self.seals = Seals(f"{self._seed}:{address[1]}")
        return self.base_url

    async def stop(self) -> None:
        """Stops listening and resets what is open."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for connection in list(self._connections):
            connection.reset()
        await asyncio.sleep(0)  # lets the transports tell their connections
        await server.wait_closed()

    async def serve_until(self, stop: asyncio.Event) -> None:
        """Serves until `stop` is set, then stops."""
        try:
            await stop.wait()
        finally:
            await self.stop()

    def begin_outage(self, outage: Outage) -> None:
        """From now on everything under /v1 fails."""
        self.outage = outage
        if outage.cut_open:
            for connection in list(self._connections):
                if connection.on_gone is not None:
                    connection.reset()

    def end_outage(self) -> None:
        """The provider is well again."""
        self.outage = None

    # ---- requests

    def _refused(self, request: Request) -> bool:
        return self.outage is not None and self.outage.kind == "refuse" and not request.path.startswith("/sim/")

    def _handle(self, connection: Connection, request: Request) -> None:
        if request.path.startswith("/sim/"):
            status, body = control(self, request)
            connection.respond(status, body)
            return
        self.requests_seen += 1
        number = self.requests_seen
        self.requests.add(
            f"req_{number}", self._clock.now(), request.method, request.path, request.headers, request.body
        )
        vendor = next(one for one in self._vendors if one.owns(request))
        headers = vendor.headers(number)
        try:
            self._route(connection, request, vendor, number, headers)
        except Rejected as error:
            connection.respond(error.status, vendor.error_body(error, number), headers=headers)
        except ScriptInvalid as error:
            refused = refusal(vendor, "script", detail=str(error))
            connection.respond(refused.status, vendor.error_body(refused, number), headers=headers)

    def _route(self, connection: Connection, request: Request, vendor: Vendor, number: int, headers: bytes) -> None:
        if self.outage is None:
            self._check_key(request, vendor)
        route = vendor.route(request)
        if route.operation == "count" and route.dialect is not None and self.outage is None:
            chat = route.dialect.read(request, route.model, self.seals)
            self.check_model(vendor, chat.model)
            connection.respond(200, vendor.counted(chat), headers=headers)
        elif route.operation == "answer" and route.dialect is not None:
            _Call(self, connection, vendor, route.dialect, number, headers).answer(request, route.model)
        elif self.outage is not None:
            play_fault(connection, self.outage.as_script(), vendor, number, headers, lambda _ending, _tokens: None)
        elif route.operation == "models":
            names = list(dict.fromkeys([*BUILT_IN, *self.scripts.models()]))
            connection.respond(200, vendor.models(names), headers=headers)
        else:
            self.check_model(vendor, route.model)
            connection.respond(200, vendor.model(route.model), headers=headers)

    def _check_key(self, request: Request, vendor: Vendor) -> None:
        if not self._keys:
            return
        given = vendor.credential(request).encode("latin-1", "replace")
        if not given:
            raise refusal(vendor, "key_missing")
        if not any(hmac.compare_digest(given, known) for known in self._keys):
            raise refusal(vendor, "key_wrong")

    def check_model(self, vendor: Vendor, name: str) -> None:
        """Raises the vendor's error for a model that is not there."""
        if not self.scripts.known(name):
            raise refusal(vendor, "model", model=name)

    def chance(self, chat: ChatRequest) -> SeededChance:
        """Chance of its own for each request: the same seed, model and messages give the same answer in any order."""
        digest = blake2b(f"{self._seed}\0{chat.model}".encode(), digest_size=8)
        for turn in chat.turns:
            digest.update(f"\0{turn.role}\0{turn.text}".encode("utf-8", "surrogatepass"))
        return SeededChance(int.from_bytes(digest.digest(), "big"))

    def now(self) -> float:
        """Wall time, seconds."""
        return self._clock.now()


class _Call:
    """One request for an answer, from its body to its first byte."""

    def __init__(
        self, simulator: Simulator, connection: Connection, vendor: Vendor, dialect: Dialect, number: int,
        headers: bytes,
    ) -> None:  # fmt: skip
        self._sim = simulator
        self._connection = connection
        self._vendor = vendor
        self._dialect = dialect
        self._number = number
        self._headers = headers

    def answer(self, request: Request, model: str) -> None:
        """Reads, chooses a script, and lets its answer or its fault travel."""
        sim, vendor, dialect = self._sim, self._vendor, self._dialect
        chat = dialect.read(request, model, sim.seals)
        sim.check_model(vendor, chat.model)
        script = self._script(chat, request)
        base, partial = split(chat, script, continues=dialect.continues)
        script = script.turn(base.rounds())
        hit = Hit(min(script.cached_tokens, chat.input_tokens))
        if script.refuse or script.status is not None:
            play_fault(self._connection, script, vendor, self._number, self._headers, self._biller(chat, hit))
            return
        if script.max_context is not None and chat.input_tokens > script.max_context:
            self._biller(chat, hit)("failed", 0)
            raise refusal(vendor, "context", limit=script.max_context, used=chat.input_tokens)
        if partial is not None and partial.how == "refuse":
            self._biller(chat, hit)("failed", 0)
            raise refusal(vendor, "prefill")
        if script.prompt_cache and chat.prompt and not script.cached_tokens:
            owner = f"{vendor.name}\0{vendor.credential(request)}\0{chat.model.partition('?')[0]}"
            look_up = sim.prompt_cache.marked if dialect.marks else sim.prompt_cache.automatic
            hit = look_up(owner, chat.prompt, sim.now())
        answer = compose(base, script, sim.chance(base), self._namer(chat, script), partial=partial, hit=hit)
        self._play(chat, script, answer, self._biller(chat, hit))

    def _script(self, chat: ChatRequest, request: Request) -> Script:
        if self._sim.outage is not None:
            return self._sim.outage.as_script()
        header = request.headers.get(SCRIPT_HEADER)
        # Header values were read as Latin-1, byte for byte; a script's JSON is UTF-8.
        return self._sim.scripts.choose(chat.model, None if header is None else header.encode("latin-1"))

    def _namer(self, chat: ChatRequest, script: Script) -> Callable[[int], str]:
        front = f"{self._dialect.call_prefix}sim{self._number}x"
        if chat.sealed and script.reasoning:
            first = self._sim.seals.demanding(f"{front}0")
            return lambda index: f"{front}{index}" if index else first
        return lambda index: f"{front}{index}"

    def _biller(self, chat: ChatRequest, hit: Hit) -> Done:
        def done(ending: Ending, produced: int) -> None:
            self._sim.bill.add(
                call=f"{self._dialect.reply_prefix}sim{self._number}", model=chat.model, state=ending,
                stream=chat.stream, input_tokens=chat.input_tokens, cached_tokens=hit.read, output_tokens=produced,
                at=self._sim.now(), cache_write_tokens=hit.written,
            )  # fmt: skip

        return done

    def _play(self, chat: ChatRequest, script: Script, answer: Answer, done: Done) -> None:
        reply = Reply(self._number, int(self._sim.now()), chat, self._sim.seals)
        if chat.stream:
            events = self._dialect.stream(answer, script, reply)
            StreamPlayback(self._connection, script, done, events, self._headers).begin()
        else:
            body = self._dialect.whole(answer, script, reply)
            tokens = answer.output_tokens()
            WholePlayback(self._connection, script, done, body, self._headers, tokens=tokens).begin()


def play_fault(
    connection: Connection, script: Script, vendor: Vendor, number: int, headers: bytes, done: Done
) -> None:  # fmt: skip
    """Resets, or answers with the script's status."""
    if script.refuse:
        done("failed", 0)
        connection.reset()
        return
    after = script.retry_after
    if after is not None and (vendor.retry_header or isinstance(after, str)):
        shown = after if isinstance(after, str) else f"{after:g}"
        headers += b"retry-after: %b\r\n" % " ".join(shown.splitlines()).encode("latin-1", "replace")
    error = scripted_error(vendor, script)
    ErrorPlayback(connection, script, done, error.status, vendor.error_body(error, number), headers).begin()
