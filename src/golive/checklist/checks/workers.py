"""Where does user code run? In a process other than the server's, which holds no secret."""

from pathlib import Path

from golive.checklist.registry import check
from golive.checklist.results import Finding, Result, evidence
from golive.checklist.target import Target
from golive.checklist.twin import Twin

PROC = Path("/proc")
WORKER = b"golive.workers.main"


@check(
    "SEC-6.worker",
    row="SEC-6",
    title="Tools run in worker processes whose environment holds no secret of the server's",
    phase="security",
    severity="blocker",
    needs={"process", "golive", "agent"},
    remediation="Serve with worker processes (`golive serve` does), and name in worker.env only what tools need.",
    references=("OWASP ASI03:2026 Identity and Privilege Abuse",),
)
async def workers_hold_no_secret(target: Target) -> Result:
    """Looks at the server's child processes as the kernel shows them."""
    twin = target.twin
    found = Finding("a worker process for each agent with tools, 0 secrets and 0 of the server's settings in its view")
    if not (PROC / "self" / "environ").exists():
        return found.unknown("this system does not show processes under /proc")
    children = _children(twin.process.pid)
    workers = [pid for pid in children if WORKER in _read(pid, "cmdline")]
    allowed = {name for agent in twin.loaded.agents.values() for name in agent.config.worker.env}
    faults = []
    for pid in workers:
        held = _read(pid, "environ")
        names = sorted(entry.partition(b"=")[0].decode("utf-8", "replace") for entry in held.split(b"\0") if entry)
        command = f"tr '\\0' '\\n' < /proc/{pid}/environ | cut -d= -f1"
        found.saw(evidence(command, "\n".join(names), twin.clock.now()))
        faults += [f"worker {pid} holds {secret}" for secret in _held(twin, held)]
        if strange := [name for name in names if _secret(name) and name not in allowed]:
            faults.append(f"worker {pid} sees {', '.join(strange)}")
    agents = sum(agent.tools_file is not None for agent in twin.loaded.agents.values())
    found.measured = f"server {twin.process.pid}, {len(workers)} workers for {agents} agents with tools"
    if len(workers) < agents:
        faults.append(f"only {len(workers)} worker processes: tools may run inside the server")
    if faults:
        return found.failed("; ".join(faults))
    return found.passed("" if agents else "no agent has a tools.py: there is no code of the user's to run")


def _held(twin: Twin, environment: bytes) -> list[str]:
    return [name for name, value in twin.secrets.items() if value.encode() in environment]


def _secret(name: str) -> bool:
    """Names of golive's own settings, and of whatever calls itself a credential."""
    return name.startswith(("GOLIVE_", "CHECK_")) or name.endswith(("_KEY", "_TOKEN", "_SECRET", "_PASSWORD"))


def _children(pid: int) -> list[int]:
    """Process ids of all descendants; those that end meanwhile are left out."""
    parents: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            fields = _read(int(entry.name), "stat").rpartition(b")")[2].split()
            if len(fields) > 1:
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found


def _read(pid: int, name: str) -> bytes:
    try:
        return (PROC / str(pid) / name).read_bytes()
    except OSError:
        return b""
