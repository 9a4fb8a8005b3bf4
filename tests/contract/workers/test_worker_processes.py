"""Worker processes beyond the contract: crashes, hangs, replacement, a scrubbed environment, no orphans."""

import asyncio
import json
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from golive.config.schema import ToolConfig, WorkerConfig
from golive.core.errors import AgentError
from golive.core.tasks import Tasks
from golive.tools.toolset import ToolOutcome
from golive.workers.pool import WorkerToolset
from tests.contract.toolset_kit import ToolBench, call, wait_for

TOOLS = """
    import asyncio, ctypes, os, subprocess, sys, time
    def pid() -> int: return os.getpid()
    async def pid_async() -> int: return os.getpid()
    def die() -> None: os._exit(3)
    def segfault() -> None: ctypes.string_at(0)
    async def wait(path: str, began: str) -> str:
        open(began, "w").close()
        while not os.path.exists(path):
            await asyncio.sleep(0.005)
        return "waited"
    def sleep(seconds: float = 600) -> None: time.sleep(seconds)
    async def sleep_async(seconds: float = 600) -> None: time.sleep(seconds)
    def loop() -> None:
        while True: pass
    async def stubborn() -> None:
        while True:
            try: await asyncio.sleep(600)
            except asyncio.CancelledError: pass
    def environ() -> dict[str, str]: return dict(os.environ)
    def folder() -> str: return os.getcwd()
    def child() -> int: return subprocess.Popen(["sleep", "600"]).pid
    def forked() -> int:
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
        return pid
    def close_everything() -> str:
        os.closerange(3, 1000)
        return "closed"
"""


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ToolBench]:
    bench = ToolBench(WorkerToolset, tmp_path)
    yield bench
    await bench.close()


def gone(pid: int) -> bool:
    """Whether the process has ended (a zombie has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def pid_of(toolset: WorkerToolset) -> int:
    return int((await call(toolset, "pid_async")).content)


@pytest.mark.parametrize(
    ("name", "how"), [("die", "exit code 3"), ("segfault", "SIGSEGV")], ids=["exits", "segmentation fault"]
)
async def test_a_crash_is_a_failed_call_and_the_worker_is_replaced(bench: ToolBench, name: str, how: str) -> None:
    """A tool that ends its process fails its own call; the next one runs in a new process."""
    toolset = await bench.open(TOOLS)
    before = await pid_of(toolset)
    outcome = await call(toolset, name)
    assert outcome.error_code == "tool.worker_crashed"
    assert outcome.content.startswith(f"The worker process ended ({how}) while {name} ran in it.")
    assert await pid_of(toolset) != before
    assert gone(before)


async def test_a_segmentation_fault_leaves_its_stack_in_the_log(bench: ToolBench) -> None:
    """The line of tools.py that crashed is in the log."""
    toolset = await bench.open(TOOLS)
    await call(toolset, "segfault")
    await wait_for(lambda: any("in segfault" in str(fields.get("line")) for _, fields in bench.logged))


async def test_kill_9_fails_every_call_in_flight(bench: ToolBench) -> None:
    """All calls in the killed worker fail, and each is told that there were others."""
    toolset = await bench.open(TOOLS)
    began = [bench.folder / "began-0", bench.folder / "began-1"]
    async with Tasks("test") as tasks:
        arguments = [f'{{"path": "never", "began": "{path}"}}' for path in began]
        calls = [tasks.start(call(toolset, "wait", text), "wait") for text in arguments]
        await wait_for(lambda: all(path.exists() for path in began))
        os.kill(await pid_of(toolset), signal.SIGKILL)
    for done in calls:
        assert done.result().error_code == "tool.worker_crashed"
        assert "SIGKILL" in done.result().content
        assert "2 calls were running in it" in done.result().content


async def test_a_worker_that_dies_while_idle_is_replaced(bench: ToolBench) -> None:
    """Nobody notices but the log and health."""
    toolset = await bench.open(TOOLS)
    before = await pid_of(toolset)
    os.kill(before, signal.SIGKILL)
    await wait_for(lambda: "worker.ended" in [event for event, _ in bench.logged])
    assert await pid_of(toolset) != before
    assert toolset.health().detail == "1 of 1 workers, 0 calls, 0 waiting, 1 restarts"


@pytest.mark.parametrize("name", ["sleep", "sleep_async", "loop", "stubborn"])
async def test_a_hung_worker_is_retired_and_killed(bench: ToolBench, name: str) -> None:
    """A call that does not end when cancelled costs its worker: a new one takes the calls, the old one is killed."""
    toolset = await bench.open(TOOLS, tools={name: ToolConfig(timeout_s=0.1)})
    before = await pid_of(toolset)
    outcome = await call(toolset, name)
    assert outcome.error_code == "tool.timeout"
    await wait_for(lambda: gone(before))
    assert await pid_of(toolset) != before
    assert "worker.retired" in [event for event, _ in bench.logged]


async def test_a_retired_worker_finishes_its_other_calls(bench: ToolBench) -> None:
    """What else runs beside a hung call comes to its end before the worker is killed."""
    toolset = await bench.open(TOOLS, tools={"sleep": ToolConfig(timeout_s=0.1)})
    before = await pid_of(toolset)
    free, began = bench.folder / "free", bench.folder / "began"
    async with Tasks("test") as tasks:
        other = tasks.start(call(toolset, "wait", f'{{"path": "{free}", "began": "{began}"}}'), "wait")
        await wait_for(began.exists)
        assert (await call(toolset, "sleep")).error_code == "tool.timeout"
        await wait_for(lambda: "worker.retired" in [event for event, _ in bench.logged])
        assert await pid_of(toolset) != before
        assert not gone(before)
        free.touch()
    assert other.result() == ToolOutcome(True, "waited")
    await wait_for(lambda: gone(before))


async def test_a_worker_that_loses_its_socket_is_replaced(bench: ToolBench) -> None:
    """A process that closes our socket is of no use, though it still runs."""
    toolset = await bench.open(TOOLS)
    before = await pid_of(toolset)
    assert (await call(toolset, "close_everything")).error_code == "tool.worker_crashed"
    assert gone(before)
    assert await pid_of(toolset) != before


async def test_a_crash_loop_backs_off_and_calls_fail_at_once(bench: ToolBench) -> None:
    """While workers cannot be started, calls are told so instead of waiting; when they can again, calls work again."""
    toolset = await bench.open(TOOLS)
    path = bench.folder / "tools.py"
    good = path.read_text()
    path.write_text("import os\nos._exit(9)\n")
    assert (await call(toolset, "die")).error_code == "tool.worker_crashed"
    waiting = await call(toolset, "pid")
    assert waiting.error_code == "tool.worker_crashed"
    assert "No worker can be started" in waiting.content or "times in a row" in waiting.content
    assert str(bench.folder) not in waiting.content
    failed = [fields for event, fields in bench.logged if event == "worker.start_failed"]
    assert "exit code 9" in failed[0]["error"]
    assert toolset.health().state == "down"
    await wait_for(lambda: "exit code 9" in toolset.health().detail)
    path.write_text(good)
    await wait_for(lambda: toolset.health().state == "up")
    assert (await call(toolset, "pid")).ok


async def test_a_version_does_not_change_under_way(bench: ToolBench) -> None:
    """A replacement that would offer other tools than the version was loaded with is refused."""
    toolset = await bench.open(TOOLS)
    path = bench.folder / "tools.py"
    path.write_text(path.read_text() + "\ndef added() -> None: ...\n")
    await call(toolset, "die")
    assert (await call(toolset, "pid")).error_code == "tool.worker_crashed"
    await wait_for(lambda: "has changed since this version was loaded" in toolset.health().detail)


async def test_the_environment_is_scrubbed(bench: ToolBench) -> None:
    """Only PATH, locale, time zone, a private HOME and what worker.env names reach a tool."""
    bench.environ = {"OPENAI_API_KEY": "sk-1", "GOLIVE_PEPPER": "p", "SHOP_URL": "http://shop", "LANG": "C.UTF-8"}
    toolset = await bench.open(TOOLS, WorkerConfig(env=("SHOP_URL", "NOT_SET")))
    content = (await call(toolset, "environ")).content
    names = set(json.loads(content))
    assert "sk-1" not in content
    assert names - {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ"} == {"HOME", "TMPDIR", "SHOP_URL"}
    home = Path(json.loads(content)["HOME"])
    assert home.is_dir()
    await toolset.close()
    assert not home.exists()


async def test_golives_own_settings_are_never_handed_on(bench: ToolBench) -> None:
    """worker.env cannot name them."""
    with pytest.raises(AgentError, match="GOLIVE_PEPPER"):
        await bench.open(TOOLS, WorkerConfig(env=("GOLIVE_PEPPER",)))


async def test_tools_run_in_the_agents_folder_and_not_in_the_server(bench: ToolBench) -> None:
    """The working directory is the agent's; this process has not imported its code."""
    (bench.folder / "beside_the_tools.py").write_text("")
    toolset = await bench.open("import beside_the_tools\n" + textwrap.dedent(TOOLS))
    assert (await call(toolset, "folder")).content == str(bench.folder)
    assert await pid_of(toolset) != os.getpid()
    assert "beside_the_tools" not in sys.modules


async def test_noise_on_stdout_and_stderr_goes_to_the_log(bench: ToolBench) -> None:
    """What tools print is logged line by line and never mixed into results; long lines and floods are cut."""
    toolset = await bench.open(
        r"""
        import os, sys
        print("at import")
        def noise() -> str:
            print("one\ntwo")
            print("wrong", file=sys.stderr)
            os.write(1, b"\xff\x00 bytes\n" + b"l" * 100_000 + b"\n")
            return "quiet"
        def flood() -> int:
            for number in range(5_000):
                print(number)
            return 1
        """
    )
    assert (await call(toolset, "noise")) == ToolOutcome(True, "quiet")
    assert (await call(toolset, "flood")) == ToolOutcome(True, "1")
    await toolset.close()
    printed = [(fields["stream"], fields["line"]) for event, fields in bench.logged if event == "worker.printed"]
    assert printed[:3] == [("stdout", "at import"), ("stdout", "one"), ("stdout", "two")]
    assert ("stderr", "wrong") in printed
    assert ("stdout", "\ufffd\x00 bytes") in printed
    assert max(len(line) for _, line in printed) == 8_192
    dropped = sum(fields["lines"] for event, fields in bench.logged if event == "worker.output_dropped")
    assert len(printed) + dropped == 1 + 2 + 1 + 2 + 5_000
    assert dropped > 0


async def test_two_processes_share_the_calls(bench: ToolBench) -> None:
    """With two workers of one place each, two blocking calls run at once in different processes."""
    toolset = await bench.open(
        """
        import os, time
        def meet(mine: str, other: str) -> int:
            open(mine, "w").close()
            while not os.path.exists(other):
                time.sleep(0.005)
            return os.getpid()
        """,
        WorkerConfig(processes=2, concurrency=1),
    )
    async with Tasks("test") as tasks:
        first = tasks.start(call(toolset, "meet", '{"mine": "a", "other": "b"}'), "a")
        second = tasks.start(call(toolset, "meet", '{"mine": "b", "other": "a"}'), "b")
    assert first.result().ok
    assert second.result().ok
    assert first.result().content != second.result().content


@pytest.mark.parametrize("name", ["child", "forked"])
@pytest.mark.parametrize("end", ["close", "crash"])
async def test_what_tools_started_goes_with_the_worker(bench: ToolBench, name: str, end: str) -> None:
    """Processes that a tool left running end when the worker closes or crashes."""
    toolset = await bench.open(TOOLS)
    child = int((await call(toolset, name)).content)
    assert not gone(child)
    if end == "close":
        await toolset.close()
    else:
        assert (await call(toolset, "die")).error_code == "tool.worker_crashed"
    await wait_for(lambda: gone(child))


async def test_close_is_bounded_and_leaves_no_process(bench: ToolBench) -> None:
    """A worker whose loop is blocked cannot say goodbye: it is killed."""
    toolset = await bench.open(TOOLS)
    worker = await pid_of(toolset)
    async with Tasks("test") as tasks:
        hung = tasks.start(call(toolset, "sleep_async", '{"seconds": 600}'), "hung")
        await asyncio.sleep(0)
        await toolset.close()
    assert hung.result().error_code == "tool.worker_crashed"
    assert gone(worker)
    assert toolset.health().state == "unknown"


async def test_no_worker_outlives_a_killed_server(bench: ToolBench) -> None:
    """kill -9 of the server takes its workers with it, also one whose loop is blocked."""
    (bench.folder / "tools.py").write_text(textwrap.dedent(TOOLS))
    program = f"""
import asyncio, pathlib
from tests.contract.toolset_kit import ToolBench, call
from golive.workers.pool import WorkerToolset
async def main():
    toolset = await ToolBench(WorkerToolset, pathlib.Path({str(bench.folder)!r})).open(None)
    print((await call(toolset, "pid")).content, flush=True)
    await call(toolset, "sleep_async", '{{"seconds": 600}}', seconds=600)
asyncio.run(main())
"""
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert server.stdout is not None
    worker = int(await server.stdout.readline())
    assert not gone(worker)
    server.kill()
    await server.wait()
    await wait_for(lambda: gone(worker))


async def test_a_worker_that_dies_while_loading_says_its_last_words(bench: ToolBench) -> None:
    """The error of start names the exit status and the last line on stderr."""
    with pytest.raises(AgentError) as caught:
        await bench.open("import os\nos.write(2, b'licence expired\\n')\nos._exit(5)\n")
    assert "ended while it loaded tools.py (exit code 5). Its last line on stderr: licence expired" in str(caught.value)


async def test_an_agent_without_tools_has_no_process(bench: ToolBench) -> None:
    """No tools.py, no worker."""
    toolset = await bench.open(None)
    assert toolset.specs == ()
    assert "worker.started" not in [event for event, _ in bench.logged]
    assert toolset.health().state == "up"
