"""Processes that are killed: what they could not take away goes by itself, or with the next start."""

import asyncio
from pathlib import Path

from tests.e2e.process_kit import project

TOOLS = 'def note() -> str:\n    """Notes."""\n    return "noted"\n'


def folders(temporary: Path) -> list[str]:
    """What golive has in the temporary folder."""
    return sorted(path.name for path in temporary.iterdir() if path.name.startswith("golive-"))


async def test_a_killed_servers_worker_folder_goes_with_the_next_start(tmp_path: Path) -> None:
    """After SIGKILL the workers' folder is left; the next server removes it, and not that of a server that lives."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with project(tmp_path / "one") as first, project(tmp_path / "two") as second:
        for served in (first, second):
            served.environ["TMPDIR"] = str(temporary)
            served.agent("noter", "sim-note", tools=TOOLS)
        await first.serve()
        killed = folders(temporary)
        await second.serve()
        both = folders(temporary)
        await first.kill()
        assert folders(temporary) == both
        await first.serve()
        async with asyncio.timeout(20):
            while not any(line["event"] == "worker.folders_removed" for line in first.log()):
                await asyncio.sleep(0.02)
        left = folders(temporary)
        assert (len(killed), len(both), len(left)) == (1, 2, 2)
        assert set(both) - set(left) == set(killed)
        await first.stop()
        await second.stop()
    assert folders(temporary) == []
