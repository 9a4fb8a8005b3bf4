"""What holds for every test: property tests draw the same examples each time, and never fail for being slow."""

import signal

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
