"""The drills of crashes: each passes on a sound server, and fails when what it is about is really broken."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from golive.checklist import postgres
from golive.checklist.twin import Twin
from tests.e2e.check_kit import hold, mark, project, twin_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def double(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twin]:
    """A twin of a server that calls again whatever it does not know the outcome of."""
    async with twin_of(project(tmp_path_factory.mktemp("double")), "again") as found:
        yield found


async def test_kill_sees_runs_that_nobody_takes_over(tmp_path: Path) -> None:
    """What a dead server left open stays open."""
    async with twin_of(project(tmp_path), "amnesia") as forgetful:
        found = await hold("RT-9.kill", forgetful)
    assert found.status == "fail"
    assert "stands at running" in found.why


async def test_kill_sees_an_effect_that_comes_twice(double: Twin) -> None:
    """The mail had gone out; it goes out again."""
    found = await hold("RT-9.kill", double)
    assert found.status == "fail"
    assert "after the effect of a tool that declares status had 2 effects of 1 calls" in found.why


async def test_kill_sees_an_effect_that_is_said_to_be_done(tmp_path: Path) -> None:
    """Nothing had been carried out, and the run says that it was."""
    async with twin_of(project(tmp_path), "fabled") as hopeful:
        found = await hold("RT-9.kill", hopeful)
    assert found.status == "fail"
    assert "says that golive_check_mail was carried out, and it was not" in found.why


async def test_kill_sees_text_that_comes_twice(tmp_path: Path) -> None:
    """A turn that is asked again begins anew behind what it had said."""
    async with twin_of(project(tmp_path), "stutter") as stammering:
        found = await hold("RT-9.kill", stammering)
    assert found.status == "fail"
    assert "the run caught in mid-answer says" in found.why


async def test_unknown_sees_a_call_that_no_person_was_asked_about(double: Twin) -> None:
    """A payment that may have been made is made again."""
    found = await hold("RT-8.unknown", double)
    assert found.status == "fail"
    assert "after the effect of a tool that declares nothing, decided as done waits for no decision" in found.why


async def test_unknown_sees_a_key_that_is_forgotten(tmp_path: Path) -> None:
    """A repeated call under another key is another payment to whoever receives it."""
    async with twin_of(project(tmp_path), "rekeyed") as forgetful:
        found = await hold("RT-8.unknown", forgetful)
    assert found.status == "fail"
    assert "made 1 calls under 2 keys" in found.why
    assert "had 2 effects of 1 calls" in found.why


async def test_drills_of_crashes_call_no_tool_of_the_users(tmp_path: Path) -> None:
    """Where the agent has tools that declare what the drills need, stand-ins bear their names; none is called."""
    folder = project(tmp_path)
    settings = folder / "agents" / "clerk" / "agent.toml"
    settings.write_text(settings.read_text() + "\n[tools.count_sheep]\nidempotent = true\n")
    async with twin_of(folder) as sound:
        killed, unknown = await hold("RT-9.kill", sound), await hold("RT-8.unknown", sound)
    assert (killed.status, unknown.status) == ("pass", "pass"), (killed.why, unknown.why)
    assert mark(tmp_path).read_text() == "imported\n"
    replaced = killed.evidence[0]
    assert "golive_check_mail (declares status), count_sheep (declares idempotent)" in replaced.did
    assert "lock_gate (declares nothing)" in replaced.did
    assert "3 of 3 waited for a person" in unknown.measured


async def test_takeovers_pass_on_a_sound_server(tmp_path: Path) -> None:
    """One stream over a kill, and runs that are handed over; each with figures."""
    async with twin_of(project(tmp_path)) as sound:
        stream, handover = await hold("RT-9.stream", sound), await hold("RT-9.handover", sound)
    assert (stream.status, handover.status) == ("pass", "pass"), (stream.why, handover.why)
    assert "over 2 epochs" in stream.measured
    assert handover.measured.startswith("3 of 3 runs handed over and completed, at model.failed of step 1")


async def test_stream_sees_an_event_that_is_lost_at_the_return(tmp_path: Path) -> None:
    """Whoever comes back after the kill is not told one event."""
    async with twin_of(project(tmp_path), "gappy") as lossy:
        found = await hold("RT-9.stream", lossy)
    assert found.status == "fail"
    assert "are missing before" in found.why


async def test_stream_sees_text_that_comes_twice(tmp_path: Path) -> None:
    """The stream is without a gap, and what it says is not the answer."""
    async with twin_of(project(tmp_path), "stutter") as stammering:
        found = await hold("RT-9.stream", stammering)
    assert found.status == "fail"
    assert "characters that are not the" in found.why


async def test_handover_sees_a_stop_that_ends_runs(tmp_path: Path) -> None:
    """A deployment that ends what is open is told with what it cost."""
    async with twin_of(project(tmp_path), "dropped") as careless:
        found = await hold("RT-9.handover", careless)
    assert found.status == "fail"
    assert "the run caught in mid-answer stands at failed (interrupted)" in found.why


async def test_restore_sees_a_run_that_nobody_is_asked_about(tmp_path: Path) -> None:
    """On a sound server a person is asked; where a restored run just goes on, it is told."""
    async with twin_of(project(tmp_path / "a")) as sound:
        well = await hold("REL-6.restore", sound)
    async with twin_of(project(tmp_path / "b"), "heedless") as heedless:
        ill = await hold("REL-6.restore", heedless)
    assert (well.status, ill.status) == ("pass", "fail"), well.why
    assert well.measured.startswith("generation 1 to 2; 1 run was open, asked a person (1 decision)")
    assert "the run that had effects waits for nobody: it stands at completed (done)" in ill.why


async def test_freeze_sees_a_payment_that_comes_twice(tmp_path: Path) -> None:
    """Whoever takes a frozen server's runs over pays again."""
    async with twin_of(project(tmp_path), "again") as double:
        found = await hold("RT-9.freeze", double)
    assert found.status == "fail"
    assert "the run caught after its payment had 2 effects of 1 calls" in found.why


async def test_freeze_sees_runs_that_no_replica_takes_over(tmp_path: Path) -> None:
    """They wait for the server that is frozen."""
    async with twin_of(project(tmp_path), "amnesia") as forgetful:
        found = await hold("RT-9.freeze", forgetful)
    assert found.status == "fail"
    assert "the run caught in mid-answer was not taken over" in found.why


async def test_freeze_is_not_known_without_postgresql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install; and on a sound server, where it is installed, all goes on elsewhere."""
    async with twin_of(project(tmp_path)) as sound:
        well = await hold("RT-9.freeze", sound)
        monkeypatch.setattr(postgres, "WHEEL", "golive_no_such_package")
        unknown = await hold("RT-9.freeze", sound)
    assert well.status == "pass", well.why
    assert well.measured.startswith("3 of 3 runs went on elsewhere and completed")
    assert "3 effects by then, 0 more after the waking" in well.measured
    assert (unknown.status, unknown.why) == ("unknown", postgres.MISSING)
