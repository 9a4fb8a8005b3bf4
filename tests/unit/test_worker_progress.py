"""The page that a worker and the server share: two views of it, as the two processes have them."""

import os
from collections.abc import Iterator

import pytest

from golive.workers.progress import Progress, share


@pytest.fixture(params=["memory", "file"])
def ends(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Progress, Progress]]:
    """The worker's end and the server's; in a file where the kernel gives no memory of that kind."""
    if request.param == "file":

        def refused(*_: object) -> int:
            raise PermissionError("not here")

        monkeypatch.setattr(os, "memfd_create", refused)
    descriptor = share()
    worker, server = Progress(descriptor), Progress(descriptor)
    os.close(descriptor)
    yield worker, server
    worker.close()
    server.close()


def test_what_the_worker_begins_the_server_sees(ends: tuple[Progress, Progress]) -> None:
    """Nothing is begun at first; then the highest number counts."""
    worker, server = ends
    assert server.begun == 0
    assert [worker.begin(number) for number in (1, 2, 5)] == [True, True, True]
    assert server.begun == 5


def test_what_was_taken_back_does_not_begin(ends: tuple[Progress, Progress]) -> None:
    """Up to the number and not beyond; a lower number taken back later gives nothing free again."""
    worker, server = ends
    assert worker.begin(1)
    server.take_back(3)
    server.take_back(2)
    assert server.begun == 1
    assert [worker.begin(number) for number in (2, 3, 4)] == [False, False, True]
    assert server.begun == 4


def test_numbers_use_all_of_their_eight_bytes(ends: tuple[Progress, Progress]) -> None:
    """A worker that lives for years does not run out of them."""
    worker, server = ends
    server.take_back(2**63)
    assert [worker.begin(2**63), worker.begin(2**63 + 1)] == [False, True]
    assert server.begun == 2**63 + 1


def test_a_closed_page_still_tells_what_was_begun(ends: tuple[Progress, Progress]) -> None:
    """After the process has gone its last word stands, also if the page is closed twice."""
    worker, server = ends
    worker.begin(7)
    server.close()
    server.close()
    worker.begin(8)
    assert server.begun == 7
