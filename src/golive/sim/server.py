"""The simulated provider as a whole: routes requests, checks keys, chooses scripts, starts answers, keeps the bill."""

import asyncio
import hmac
from hashlib import blake2b

from golive.core.chance import SeededChance
from golive.core.clock import Clock
from golive.sim.anthropic.vendor import Anthropic
from golive.sim.bill import Bill
from golive.sim.control import Outage, control
from golive.sim.exchange import Exchange, respond_rejected
from golive.sim.gemini.vendor import Gemini
from golive.sim.limits import KeyLimits
from golive.sim.openai.vendor import OpenAI
from golive.sim.prompt_cache import PromptCache
from golive.sim.protocol import Connection, Request
from golive.sim.received import RequestLog
from golive.sim.request import ChatRequest, Rejected
from golive.sim.script import AGENT, BUILT_IN, Script, ScriptInvalid, Scripts
from golive.sim.seals import Seals
from golive.sim.vendor import Route, Vendor, refusal

BACKLOG = 4_096
PLACES = "/at/"
"""Before the vendor's path, `/at/NAME` makes the simulator pass for several providers: a script for `NAME/model` counts
for requests to that place alone."""


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
        self.limits = KeyLimits()
        self.seed = seed
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
        self.seals = Seals(f"{self.seed}:{address[1]}")
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

    def accept(self, api_keys: tuple[str, ...]) -> None:
        """From now on these keys are accepted and no other; empty: any, and none. Answers under way go on."""
        self._keys = tuple(key.encode() for key in api_keys)

    def begin_outage(self, outage: Outage) -> None:
        """From now on everything but /sim/ fails."""
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
        if request.path.startswith(PLACES):
            request.place, slash, rest = request.path.removeprefix(PLACES).partition("/")
            request.path = slash + rest
        vendor = next(one for one in self._vendors if one.owns(request))
        try:
            self._route(connection, request, vendor, number)
        except Rejected as error:
            respond_rejected(connection, vendor, number, error)
        except ScriptInvalid as error:
            respond_rejected(connection, vendor, number, refusal(vendor, "script", detail=str(error)))

    def _route(self, connection: Connection, request: Request, vendor: Vendor, number: int) -> None:
        if self.outage is None:
            self._check_key(request, vendor)
        exchange = Exchange(self, connection, vendor, request, number)
        route = vendor.route(request)
        if route.operation == "answer":
            exchange.answer(route.dialect, route.model)
        elif route.embedder is not None:
            exchange.embed(route.embedder, route.model)
        elif self.outage is not None:
            exchange.fail(self.outage.as_script())
        else:
            connection.respond(200, self._told(vendor, route, request), headers=vendor.headers(number))

    def _told(self, vendor: Vendor, route: Route, request: Request) -> bytes:
        """The answer to a question that no model is asked."""
        if route.operation == "models":
            return vendor.models(list(dict.fromkeys([*BUILT_IN, *self.scripts.models()])))
        chat = route.dialect.read(request, route.model, self.seals) if route.operation == "count" else None
        model = route.model if chat is None else chat.model
        if not self.scripts.known(model):
            raise refusal(vendor, "model", model=model)
        return vendor.model(model) if chat is None else vendor.counted(chat)

    def _check_key(self, request: Request, vendor: Vendor) -> None:
        if not self._keys:
            return
        given = vendor.credential(request).encode("latin-1", "replace")
        if not given:
            raise refusal(vendor, "key_missing")
        if not any(hmac.compare_digest(given, known) for known in self._keys):
            raise refusal(vendor, "key_wrong")

    def chance(self, chat: ChatRequest) -> SeededChance:
        """Chance of its own for each request: the same seed, model and messages give the same answer in any order."""
        digest = blake2b(f"{self.seed}\0{chat.model}".encode(), digest_size=8)
        for turn in chat.turns:
            digest.update(f"\0{turn.role}\0{turn.text}".encode("utf-8", "surrogatepass"))
        return SeededChance(int.from_bytes(digest.digest(), "big"))

    def now(self) -> float:
        """Wall time, seconds."""
        return self._clock.now()
