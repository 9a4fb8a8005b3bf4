"""The simulator's own endpoints under /sim/: scripts, outage, bill, request log. For tests, drills and people."""

from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from golive.sim.protocol import Request
from golive.sim.script import FOREVER, Script, ScriptInvalid

if TYPE_CHECKING:
    from golive.sim.server import Simulator


class Install(Struct, forbid_unknown_fields=True):
    """Body of POST /sim/scripts."""

    model: str
    script: Script
    times: int | None = None


class Outage(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of POST /sim/outage: every vendor fails so until DELETE /sim/outage.

    refuse: connections are reset; status: every request is answered `status`; hang: nothing is answered; script: every
    request follows `script`. `cut_open` also resets the answers that are under way.
    """

    kind: Literal["refuse", "status", "hang", "script"] = "refuse"
    status: int = 503
    retry_after: float | str | None = None
    script: Script | None = None
    cut_open: bool = False

    def as_script(self) -> Script:
        """The script that every request follows during the outage."""
        if self.kind == "refuse":
            return Script(refuse=True)
        if self.kind == "status":
            return Script(status=self.status, retry_after=self.retry_after)
        if self.kind == "hang":
            return Script(hang_ms=FOREVER)
        return self.script or Script()


class Keys(Struct, frozen=True, forbid_unknown_fields=True):
    """Body of PUT /sim/keys: the keys that are accepted from now on; empty: any, and none."""

    accept: tuple[str, ...]


_keys_decoder = msgspec.json.Decoder(Keys)
_install_decoder = msgspec.json.Decoder(Install)
_outage_decoder = msgspec.json.Decoder(Outage)
_ok = {"ok": True}


def control(simulator: "Simulator", request: Request) -> tuple[int, bytes]:
    """Answers a request under /sim/: status and JSON."""
    try:
        status, answer = _dispatch(simulator, request)
    except (msgspec.DecodeError, ScriptInvalid, ValueError) as error:
        status, answer = 400, {"error": {"message": f"{request.method} {request.path}: {error}"}}
    return status, msgspec.json.encode(answer)


def _dispatch(simulator: "Simulator", request: Request) -> tuple[int, Any]:
    query = {name: values[-1] for name, values in parse_qs(request.query).items()}
    match request.method, request.path:
        case "GET", "/sim/health":
            return 200, {"ok": True, "requests": simulator.requests_seen, "open": simulator.open_connections}
        case "GET", "/sim/scripts":
            return 200, {"installed": simulator.scripts.listing(), "default": simulator.scripts.default}
        case "POST", "/sim/scripts":
            wanted = _install_decoder.decode(request.body)
            simulator.scripts.install(wanted.model, wanted.script, wanted.times)
            return 200, _ok
        case "PUT", "/sim/keys":
            simulator.accept(_keys_decoder.decode(request.body).accept)
            return 200, _ok
        case "GET", "/sim/outage":
            return 200, {"outage": simulator.outage}
        case "POST", "/sim/outage":
            simulator.begin_outage(_outage_decoder.decode(request.body or b"{}"))
            return 200, _ok
        case "GET", "/sim/bill":
            return 200, {"totals": simulator.bill.totals, "lines": simulator.bill.lines}
        case "GET", "/sim/requests":
            return 200, {"requests": simulator.requests.entries(int(query.get("last", "1000")))}
        case "DELETE", path if _clear(simulator, path, query.get("model")):
            return 200, _ok
    return 404, {"error": {"message": f"{request.method} {request.path} is not one of the simulator's endpoints."}}


def _clear(simulator: "Simulator", path: str, model: str | None) -> bool:
    """Takes away what stands under the path; whether something can stand there."""
    match path:
        case "/sim/scripts":
            simulator.scripts.clear(model)
        case "/sim/outage":
            simulator.end_outage()
        case "/sim/bill":
            simulator.bill.clear()
        case "/sim/requests":
            simulator.requests.clear()
        case _:
            return False
    return True
