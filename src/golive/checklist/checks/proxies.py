"""Does anything between server and client collect a stream before it passes it on, and what is its name?"""

from collections.abc import Mapping

from golive.checklist.checks.streaming import ASK, MANY_PIECES, REMEDY, SLOW_S, listen, told
from golive.checklist.registry import check
from golive.checklist.results import Finding, Result
from golive.checklist.target import Target
from golive.sim.script import Script

TOKENS, PACE_MS = 40, 20.0
SHARE = 0.3
"""Least share of the answer's time over which its pieces arrive."""

_NAMING = {
    "via": "Via",
    "x-cache": "X-Cache",
    "x-served-by": "X-Served-By",
    "cf-ray": "CF-Ray (Cloudflare)",
    "x-amz-cf-id": "X-Amz-Cf-Id (CloudFront)",
    "x-envoy-upstream-service-time": "X-Envoy-Upstream-Service-Time (Envoy)",
    "x-azure-ref": "X-Azure-Ref (Azure Front Door)",
}
_OWN_SERVERS = ("uvicorn", "golive", "hypercorn", "granian")


@check(
    "GW-1.proxy",
    row="GW-1",
    title="Nothing on the way collects a stream before passing it on",
    phase="serving",
    severity="blocker",
    remediation=f"nginx: proxy_buffering off and gzip off for these paths. {REMEDY}",
    references=("https://nginx.org/en/docs/http/ngx_http_proxy_module.html#proxy_buffering",),
)
async def nothing_collects(target: Target) -> Result:
    """A paced answer must arrive over most of the time it takes, and not in one lump at the end."""
    paced = "inject" in target.handles
    if paced:
        await target.twin.simulator.play(Script(tokens=TOKENS, pace_ms=PACE_MS))
    heard = await listen(target, target.chat(ASK, stream=True))
    found = Finding(f"pieces arrive over at least {SHARE:.0%} of the answer's time")
    names = traces(heard.reply.headers, golive=target.golive)
    found.saw(target.http.evidence(heard.reply, f"on the way: {'; '.join(names) or 'nothing shows itself'}"))
    if heard.first_s is None:
        return found.failed(f"no text came (HTTP {heard.reply.status})")
    share = (heard.last_s - heard.first_s) / heard.end_s if heard.end_s else 0.0
    found.measured = f"{share:.0%}: {told(heard)}"
    if not paced and (heard.end_s < SLOW_S or heard.pieces < MANY_PIECES):
        return found.unknown("the answer was too short or too quick to tell")
    if share >= SHARE:
        return found.passed()
    if not paced and heard.reads > 2:
        return found.unknown("the answer came late, but not in one lump: the model may have thought before it spoke")
    culprit = "; ".join(names) or "no header names what does it: the server itself, or a silent proxy"
    return found.failed(f"the stream is collected on the way: {culprit}")


def traces(headers: Mapping[str, str], *, golive: bool) -> list[str]:
    """What the headers of an event stream tell about who handled it; names in lower case."""
    found = [f"{shown}: {headers[name]}" for name, shown in _NAMING.items() if name in headers]
    server = headers.get("server", "")
    if server and not server.lower().startswith(_OWN_SERVERS):
        found.append(f"Server: {server}")
    if "content-length" in headers:
        found.append("Content-Length on an event stream: the whole answer was there before its first byte was sent")
    if encoding := headers.get("content-encoding"):
        found.append(f"Content-Encoding: {encoding}, whose compressor collects")
    if golive and "x-accel-buffering" not in headers:
        found.append("X-Accel-Buffering: no, which golive sends, was taken away (nginx does so)")
    return found
