"""The outside world of bench/durable.py: counts what tools ask of it, and holds them where a server is to be killed."""

import json
import socketserver
import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class World:
    """`asked`: requests to do something, by tool; `done`: what was done (a payment once per key); both by tool.

    `hold` names a tool and a phase: whoever gets there (in phase do: after it was done) waits, and `reached` is set.
    """

    asked: Counter[str] = field(default_factory=Counter)
    begun: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    hold: tuple[str, str] | None = None
    reached: threading.Event = field(default_factory=threading.Event)
    port: int = 0
    _keys: set[tuple[str, str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _go_on: threading.Event = field(default_factory=threading.Event)
    _server: socketserver.ThreadingTCPServer | None = None

    def start(self) -> "World":
        """Listens."""
        world = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                line = self.rfile.readline()
                if line:
                    answer = world.answer(json.loads(line))
                    try:
                        self.wfile.write(json.dumps(answer).encode() + b"\n")
                    except OSError:
                        return  # who asked is dead

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            request_queue_size = 256

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        """Lets everybody go and closes."""
        self._go_on.set()
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: dict[str, str]) -> dict[str, object]:
        """One request of a tool."""
        tool, key, phase = request["tool"], request["key"], request["phase"]
        if phase == "look":
            return {"done": (tool, key) in self._keys}
        with self._lock:
            if phase == "begun":
                self.begun[tool] += 1
            else:
                self.asked[tool] += 1
                if tool != "pay" or (tool, key) not in self._keys:
                    self.done[tool] += 1
                self._keys.add((tool, key))
            held = self.hold == (tool, phase)
            if held:
                self.hold = None
        if held:
            self.reached.set()
            self._go_on.wait(60)
        return {"receipt": self.done[tool]}
