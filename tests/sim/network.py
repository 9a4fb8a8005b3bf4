"""The network between golive and its providers: connections in memory, with time on the way, in order, and breakable.

Each end belongs to somebody: golive's to its process, whose callbacks a freeze holds and a death drops, the provider's
to the world. Above it everything is real: golive's pool and HTTP parser, the simulator's connection and script.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any

from golive.core.chance import Chance
from golive.models.http_connection import HttpConnection
from golive.models.transport_http import HttpTransport
from golive.sim.protocol import Connection
from golive.sim.server import Simulator
from tests.sim.processes import OUTSIDE, Process, WorldLoop

SLOWEST_S = 0.004
"""One way over the network, at most."""
_APART_S = 1e-6


class End(asyncio.Transport):
    """One end of a connection, as asyncio shows it to a protocol."""

    def __init__(self, loop: WorldLoop, context: Context, chance: Chance) -> None:
        super().__init__()
        self.protocol: Any
        self.peer: End
        self._loop = loop
        self._context = context
        self._chance = chance
        self._closing = False
        self._told_lost = False
        self._paused = False
        self._kept: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._last = 0.0

    def write(self, data: Any) -> None:
        """Bytes to the other end, behind all that was written before."""
        if not self._closing:
            self._travel(self.peer._arrived, bytes(data))

    def close(self) -> None:
        """Ends the connection behind what was written."""
        if not self._closing:
            self._closing = True
            self._travel(self.peer._ended, None)
            self._loop.call_soon(self._lost, None, context=self._context)

    def abort(self) -> None:
        """Ends it at once; the other end sees a reset."""
        if not self._closing:
            self._closing = True
            self._travel(self.peer._ended, ConnectionResetError(104, "connection reset by peer"))
            self._loop.call_soon(self._lost, None, context=self._context)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        kept, self._kept = self._kept, []
        for act, args in kept:
            self._loop.call_soon(act, *args, context=self._context)

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default

    def _travel(self, act: Callable[..., None], *args: Any) -> None:
        at = max(self._loop.elapsed + self._chance.uniform(0.0002, SLOWEST_S), self._last + _APART_S)
        self._last = at
        self._loop.call_at(at, act, *args, context=self.peer._context)

    def _arrived(self, data: bytes) -> None:
        if self._told_lost or self._closing:
            return
        if self._paused:
            self._kept.append((self._arrived, (data,)))
        else:
            self.protocol.data_received(data)

    def _ended(self, error: Exception | None) -> None:
        if self._told_lost:
            return
        if self._paused and error is None:
            self._kept.append((self._ended, (error,)))
            return
        if error is None and not self._closing:
            self.protocol.eof_received()
        self._closing = True
        self._lost(error)

    def _lost(self, error: Exception | None) -> None:
        if not self._told_lost:
            self._told_lost = True
            self.protocol.connection_lost(error)


class WorldTransport(HttpTransport):
    """golive's own transport; only how a connection comes about is the world's."""

    def __init__(self, process: Process, loop: WorldLoop, network: "Network") -> None:
        super().__init__()
        self._process = process
        self._world_loop = loop
        self._network = network

    async def _connect(self, host: Any) -> HttpConnection:
        if self._shut():
            raise ConnectionRefusedError(111, "connection refused")
        await asyncio.sleep(self._network.chance.uniform(0.0002, SLOWEST_S))
        simulator = self._network.find(host.name)
        if simulator is None:
            raise ConnectionRefusedError(111, "connection refused")
        connection = HttpConnection(self._freed, self._lost)
        self._network.join(self._process, connection, simulator)
        if not connection.usable():
            raise ConnectionResetError(104, "closed before anything was asked")
        self._of[connection] = host
        return connection


class Network:
    """Who can be reached, and the connections there are."""

    def __init__(self, loop: WorldLoop, chance: Chance) -> None:
        self.chance = chance
        self._loop = loop
        self._hosts: dict[str, Simulator] = {}
        self._gone: set[str] = set()

    def serve(self, host: str, simulator: Simulator) -> None:
        """The simulator answers under this name."""
        self._hosts[host] = simulator

    def cut_off(self, host: str, gone: bool) -> None:
        """Connections to the host are refused, or taken again."""
        (self._gone.add if gone else self._gone.discard)(host)

    def find(self, host: str) -> Simulator | None:
        """Who answers there."""
        return None if host in self._gone else self._hosts.get(host)

    def join(self, process: Process, client: HttpConnection, simulator: Simulator) -> None:
        """Makes a connection of the process's."""
        near = End(self._loop, copy_context(), self.chance)
        far = End(self._loop, OUTSIDE, self.chance)
        near.peer, far.peer = far, near
        near.protocol = client
        far.protocol = Connection(simulator._handle, simulator._refused, simulator._connections)
        client.connection_made(near)
        self._loop.outside_later(0.0, far.protocol.connection_made, far)
        process.on_death.append(lambda: far._ended(ConnectionResetError(104, "connection reset by peer")))
