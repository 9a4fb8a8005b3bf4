"""Two tenants of the world, which ask the same agents, in conversations of the same names."""

TENANTS = ("default", "second")


def tenant_of(case: int) -> str:
    """Whose the case of that number is: every third is the second one's."""
    return TENANTS[case % 3 == 2]


def tenant_named(name: bytes) -> str:
    """The same for a case's name, such as case-17/0."""
    return tenant_of(int(name.removeprefix(b"case-").partition(b"/")[0]))
