"""What holds for every test: property tests draw the same examples each time, and never fail for being slow."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "golive", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("golive")
