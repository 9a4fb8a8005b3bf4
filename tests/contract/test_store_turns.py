"""The contract of a store: an append that depends on the other runs of its conversation."""

from golive.core.errors import ConversationBusy
from golive.core.events import State
from golive.core.tasks import Tasks
from golive.store.ports import Store
from golive.store.room import Room
from tests.contract.store_kit import Opener, events, lease, view

QUEUED: tuple[State, ...] = ("queued", "running")


async def accept(store: Store, run: str, most: int, conversation: str = "c", tenant: str = "acme") -> bool:
    """Whether a run of the conversation is accepted."""
    of = lease(run, tenant=tenant)
    row = view(of, conversation=conversation, state="queued")
    try:
        await store.append(of, 0, events(range(1, 2), of), views=[row], room=Room(conversation, most, QUEUED))
    except ConversationBusy:
        assert await store.tenant(tenant).run(run) is None, "nothing is written"
        assert await store.tenant(tenant).events(run) == []
        return False
    return True


async def test_a_run_is_accepted_while_its_conversation_has_room(store: Store) -> None:
    """Those that are under way count, of this conversation and tenant alone."""
    assert await accept(store, "run_1", 1)
    assert await accept(store, "run_2", 1)
    assert not await accept(store, "run_3", 1)
    assert await accept(store, "run_3", 1, "other")
    assert await accept(store, "run_3", 1, "c", "others")
    of = lease("run_1")
    done = view(of, conversation="c", state="finished", outcome="completed")
    await store.append(of, 1, events(range(2, 3), of), views=[done])
    assert await accept(store, "run_4", 1)


async def test_of_many_servers_that_accept_at_once_as_many_do_as_there_is_room(open_store: Opener) -> None:
    """Two connections to the same place, and many runs of one conversation on each."""
    stores = [await open_store(), await open_store()]
    async with Tasks("accepting") as tasks:
        begun = [tasks.start(accept(stores[number % 2], f"run_{number:02}", 2), "accept") for number in range(20)]
    assert sorted(task.result() for task in begun) == [False] * 17 + [True] * 3


async def test_of_two_servers_that_begin_a_turn_at_once_one_does(open_store: Opener) -> None:
    """The row says that it runs: an append without events, which counts as the other's."""
    stores = [await open_store(), await open_store()]
    runs = [f"run_{number}" for number in range(6)]
    for run in runs:
        assert await accept(stores[0], run, 10)

    async def begin(store: Store, run: str) -> bool:
        of = lease(run)
        try:
            row = view(of, conversation="c", state="running")
            await store.append(of, 1, (), views=[row], room=Room("c", 0, ("running",)))
        except ConversationBusy:
            return False
        return True

    async with Tasks("beginning") as tasks:
        begun = [tasks.start(begin(stores[number % 2], run), "begin") for number, run in enumerate(runs)]
    assert sorted(task.result() for task in begun) == [False] * 5 + [True]
    first = runs[[task.result() for task in begun].index(True)]
    assert await begin(stores[0], first), "its own row is not in its way"
