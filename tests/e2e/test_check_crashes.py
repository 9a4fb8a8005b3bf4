"""The drills of crashes: each passes on a sound server, and fails when what it is about is really broken."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio

from golive.checklist import crash, postgres
from golive.checklist.checks import replicas
from golive.checklist.twin import Twin
from tests.e2e.check_kit import hold, mark, project, twin_of

pytestmark = pytest.mark.asyncio(loop_scope="module")

Twins = Callable[..., Awaitable[Twin]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def twins(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Twins]:
    """The twin of a server in which one thing is broken, or none: the same as long as the same is asked for, so that
    tests of one server stand side by side."""
    async with AsyncExitStack() as stack:
        found: dict[tuple[str, ...], Twin] = {}

        async def get(*sabotages: str) -> Twin:
            if sabotages not in found:
                await stack.aclose()
                found.clear()
                folder = project(tmp_path_factory.mktemp("-".join(sabotages) or "sound") / "project")
                found[sabotages] = await stack.enter_async_context(twin_of(folder, *sabotages))
            return found[sabotages]

        yield get


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What never comes is given up soon."""
    monkeypatch.setattr(crash, "GIVE_UP_S", 2.0)
    monkeypatch.setattr(replicas, "FOLLOW_S", 2.0)


async def failure(check: str, twin: Twin) -> str:
    """Why a check fails, which it must."""
    found = await hold(check, twin)
    assert found.status == "fail", (found.status, found.why)
    return found.why


# ---- as it should be -------------------------------------------------------------------------------------------------


async def test_takeovers_pass_on_a_sound_server(twins: Twins) -> None:
    """One stream over a kill, and runs that are handed over; each with figures."""
    sound = await twins()
    stream, handover = await hold("RT-9.stream", sound), await hold("RT-9.handover", sound)
    assert (stream.status, handover.status) == ("pass", "pass"), (stream.why, handover.why)
    assert "over 2 epochs" in stream.measured
    assert handover.measured.startswith("3 of 3 runs handed over and completed, at model.failed of step 1")


async def test_freeze_passes_on_a_sound_server(twins: Twins) -> None:
    """All goes on elsewhere, and nothing more is done after the waking."""
    well = await hold("RT-9.freeze", await twins())
    assert well.status == "pass", well.why
    assert well.measured.startswith("3 of 3 runs went on elsewhere and completed")
    assert "3 effects by then, 0 more after the waking" in well.measured


async def test_freeze_is_not_known_without_postgresql(twins: Twins, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.setattr(postgres, "WHEEL", "golive_no_such_package")
    unknown = await hold("RT-9.freeze", await twins())
    assert (unknown.status, unknown.why) == ("unknown", postgres.MISSING)


async def test_a_run_that_had_effects_waits_for_a_person_after_a_restore(twins: Twins) -> None:
    """The generation rises by one, and one decision is asked for."""
    well = await hold("REL-6.restore", await twins())
    assert well.status == "pass", well.why
    assert well.measured.startswith("generation 1 to 2; 1 run was open, asked a person (1 decision)")


async def test_drills_of_crashes_call_no_tool_of_the_users(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where the agent has tools that declare what the drills need, stand-ins bear their names; none is called."""
    folder = project(tmp_path_factory.mktemp("own") / "project")
    settings = folder / "agents" / "clerk" / "agent.toml"
    settings.write_text(settings.read_text() + "\n[tools.count_sheep]\nidempotent = true\n")
    async with twin_of(folder) as sound:
        killed, unknown = await hold("RT-9.kill", sound), await hold("RT-8.unknown", sound)
    assert (killed.status, unknown.status) == ("pass", "pass"), (killed.why, unknown.why)
    assert mark(folder).read_text() == "imported\n"
    replaced = killed.evidence[0]
    assert "golive_check_mail (declares status), count_sheep (declares idempotent)" in replaced.did
    assert "lock_gate (declares nothing)" in replaced.did
    assert "3 of 3 waited for a person" in unknown.measured


# ---- what is left open stays open ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
async def test_kill_sees_runs_that_nobody_takes_over(twins: Twins) -> None:
    """What a dead server left open stays open."""
    assert "stands at running" in await failure("RT-9.kill", await twins("amnesia"))


@pytest.mark.usefixtures("impatient")
async def test_freeze_sees_runs_that_no_replica_takes_over(twins: Twins) -> None:
    """They wait for the server that is frozen."""
    why = await failure("RT-9.freeze", await twins("amnesia"))
    assert "the run caught in mid-answer was not taken over" in why


async def test_handover_sees_a_stop_that_ends_runs(twins: Twins) -> None:
    """A deployment that ends what is open is told with what it cost."""
    why = await failure("RT-9.handover", await twins("dropped"))
    assert "the run caught in mid-answer stands at failed (interrupted)" in why


# ---- what is done twice, or not at all -------------------------------------------------------------------------------


async def test_kill_sees_an_effect_that_comes_twice(twins: Twins) -> None:
    """The mail had gone out; it goes out again."""
    why = await failure("RT-9.kill", await twins("again"))  # the second kill, too, may come in the middle of the call
    assert re.search("after the effect of a tool that declares status had [23] effects of 1 calls", why), why


async def test_unknown_sees_a_call_that_no_person_was_asked_about(twins: Twins) -> None:
    """A payment that may have been made is made again."""
    why = await failure("RT-8.unknown", await twins("again"))
    assert "after the effect of a tool that declares nothing, decided as done waits for no decision" in why


async def test_freeze_sees_a_payment_that_comes_twice(twins: Twins) -> None:
    """Whoever takes a frozen server's runs over pays again."""
    why = await failure("RT-9.freeze", await twins("again"))
    assert "the run caught after its payment had 2 effects of 1 calls" in why


async def test_kill_sees_an_effect_that_is_said_to_be_done(twins: Twins) -> None:
    """Nothing had been carried out, and the run says that it was."""
    why = await failure("RT-9.kill", await twins("fabled"))
    assert "says that golive_check_mail was carried out, and it was not" in why


async def test_unknown_sees_a_key_that_is_forgotten(twins: Twins) -> None:
    """A repeated call under another key is another payment to whoever receives it."""
    why = await failure("RT-8.unknown", await twins("rekeyed"))
    assert "made 1 calls under 2 keys" in why
    assert "had 2 effects of 1 calls" in why


async def test_restore_sees_a_run_that_nobody_is_asked_about(twins: Twins) -> None:
    """Where a restored run just goes on, it is told."""
    why = await failure("REL-6.restore", await twins("heedless"))
    assert "the run that had effects waits for nobody: it stands at completed (done)" in why


# ---- what is read ----------------------------------------------------------------------------------------------------


async def test_kill_sees_text_that_comes_twice(twins: Twins) -> None:
    """A turn that is asked again begins anew behind what it had said."""
    assert "the run caught in mid-answer says" in await failure("RT-9.kill", await twins("stutter"))


async def test_stream_sees_text_that_comes_twice(twins: Twins) -> None:
    """The stream is without a gap, and what it says is not the answer."""
    assert "characters that are not the" in await failure("RT-9.stream", await twins("stutter"))


async def test_stream_sees_an_event_that_is_lost_at_the_return(twins: Twins) -> None:
    """Whoever comes back after the kill is not told one event."""
    assert "are missing before" in await failure("RT-9.stream", await twins("gappy"))
