"""What holds for every test: property tests draw the same examples each time, and never fail for being slow."""

import gc
import signal

import pytest
from hypothesis import HealthCheck, settings

from golive.core.open_files import raise_limit

raise_limit()  # tests of load are clients too; children get what holds here, unless a test says otherwise

# Under nohup and in the background of a script these are ignored, and children would inherit that.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "golive", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("golive")


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported and collected stays to the end: no collection of garbage looks through it again.

    Some hundreds of tests collect garbage to see what they left behind, which costs 0.4 s each time otherwise.
    """
    gc.collect()
    gc.freeze()
