"""The simulated provider as a whole: routes requests, checks keys, chooses scripts, starts answers, keeps the bill."""

import asyncio
import hmac
from collections.abc import Callable
from hashlib import blake2b

import msgspec

from golive.core.chance import SeededChance
from golive.core.clock import Clock
from golive.sim.bill import Bill, Ending
from golive.sim.compose import Answer, compose
from golive.sim.control import Outage, control
from golive.sim.dialect import Chunks, error_body, scripted_error, whole
from golive.sim.playback import ErrorPlayback, StreamPlayback, WholePlayback
from golive.sim.protocol import Connection, Request
from golive.sim.received import RequestLog
from golive.sim.request import ChatRequest, Rejected, read_chat
from golive.sim.script import AGENT, BUILT_IN, Script, ScriptInvalid, Scripts

SCRIPT_HEADER = "x-sim-script"
BACKLOG = 4_096
_CHAT = "/v1/chat/completions"
_MODELS = "/v1/models"


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
        headers = b"x-request-id: req_%d\r\nopenai-version: 2020-10-01\r\nopenai-processing-ms: 1\r\n" % number
        try:
            self._route(connection, request, number, headers)
        except Rejected as error:
            connection.respond(error.status, error_body(error), headers=headers)
        except ScriptInvalid as error:
            refused = Rejected(400, str(error), param=SCRIPT_HEADER, code="sim_script_invalid")
            connection.respond(400, error_body(refused), headers=headers)

    def _route(self, connection: Connection, request: Request, number: int, headers: bytes) -> None:
        if self.outage is None:
            self._check_key(request)
        if request.path == _CHAT and request.method == "POST":
            self._chat(connection, request, number, headers)
        elif self.outage is not None:
            self._play_fault(connection, self.outage.as_script(), headers, lambda _ending, _tokens: None)
        elif request.path == _MODELS and request.method == "GET":
            listed = [self._model(name) for name in dict.fromkeys([*BUILT_IN, *self.scripts.models()])]
            connection.respond(200, msgspec.json.encode({"object": "list", "data": listed}), headers=headers)
        elif request.path.startswith(_MODELS + "/") and request.method == "GET":
            name = request.path[len(_MODELS) + 1 :]
            if not self.scripts.known(name):
                raise _no_such_model(name)
            connection.respond(200, msgspec.json.encode(self._model(name)), headers=headers)
        elif request.path in (_CHAT, _MODELS):
            raise Rejected(405, f"Not allowed to {request.method} on {request.path}.", code="method_not_supported")
        else:
            raise Rejected(404, f"Invalid URL ({request.method} {request.path})")

    def _model(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": 1_767_225_600, "owned_by": "golive-sim"}

    def _check_key(self, request: Request) -> None:
        if not self._keys:
            return
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Rejected(
                401,
                "You didn't provide an API key. You need to provide your API key in an Authorization header using "
                "Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
            )
        given = key.strip().encode()
        if not any(hmac.compare_digest(given, known) for known in self._keys):
            raise Rejected(401, "Incorrect API key provided.", code="invalid_api_key")

    # ---- chat completions

    def _chat(self, connection: Connection, request: Request, number: int, headers: bytes) -> None:
        chat = read_chat(request.body)
        if not self.scripts.known(chat.model):
            raise _no_such_model(chat.model)
        if self.outage is not None:
            script = self.outage.as_script()
        else:
            header = request.headers.get(SCRIPT_HEADER)
            # Header values were read as Latin-1, byte for byte; a script's JSON is UTF-8.
            script = self.scripts.choose(chat.model, None if header is None else header.encode("latin-1"))
        script = script.turn(chat.rounds())
        call = f"chatcmpl-sim{number}"

        cached = min(script.cached_tokens, chat.input_tokens)

        def done(ending: Ending, produced: int) -> None:
            self.bill.add(
                call=call, model=chat.model, state=ending, stream=chat.stream, input_tokens=chat.input_tokens,
                cached_tokens=cached, output_tokens=produced, at=self._clock.now(),
            )  # fmt: skip

        if script.refuse or script.status is not None:
            self._play_fault(connection, script, headers, done)
            return
        if script.max_context is not None and chat.input_tokens > script.max_context:
            done("failed", 0)
            raise Rejected(
                400,
                f"This model's maximum context length is {script.max_context} tokens. However, your messages resulted "
                f"in {chat.input_tokens} tokens. Please reduce the length of the messages.",
                param="messages", code="context_length_exceeded",
            )  # fmt: skip
        answer = compose(chat, script, self._chance(chat), f"sim{number}x")
        self._play(connection, chat, script, answer, call, headers, done)

    def _play(
        self, connection: Connection, chat: ChatRequest, script: Script, answer: Answer, call: str, headers: bytes,
        done: Callable[[Ending, int], None],
    ) -> None:  # fmt: skip
        created = int(self._clock.now())
        if chat.stream:
            chunks = Chunks(
                answer, script, call=call, created=created, model=chat.model, include_usage=chat.include_usage
            )
            StreamPlayback(connection, script, done, chunks, headers).begin()
        else:
            body = whole(answer, script, call=call, created=created, model=chat.model)
            WholePlayback(connection, script, done, body, headers, tokens=answer.output_tokens()).begin()

    def _play_fault(
        self, connection: Connection, script: Script, headers: bytes, done: Callable[[Ending, int], None]
    ) -> None:
        if script.refuse:
            done("failed", 0)
            connection.reset()
            return
        if script.retry_after is not None:
            after = script.retry_after
            shown = after if isinstance(after, str) else f"{after:g}"
            headers += b"retry-after: %b\r\n" % " ".join(shown.splitlines()).encode("latin-1", "replace")
        error = scripted_error(script)
        ErrorPlayback(connection, script, done, error.status, error_body(error), headers).begin()

    def _chance(self, chat: ChatRequest) -> SeededChance:
        """Chance of its own for each request: the same seed, model and messages give the same answer in any order."""
        digest = blake2b(f"{self._seed}\0{chat.model}".encode(), digest_size=8)
        for turn in chat.turns:
            digest.update(f"\0{turn.role}\0{turn.text}".encode("utf-8", "surrogatepass"))
        return SeededChance(int.from_bytes(digest.digest(), "big"))


def _no_such_model(name: str) -> Rejected:
    return Rejected(404, f"The model `{name}` does not exist or you do not have access to it.", code="model_not_found")
