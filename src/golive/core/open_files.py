"""How many files and sockets this process may have open.

Many systems give a process 1,024 unless it asks for more, which it may, up to the hard limit; a server of streams needs
two for each (the client's connection and the provider's).
"""

import resource

RESERVED = 128
"""Files that are not a request's: the store, the log, workers, listening sockets."""


def raise_limit() -> int:
    """Raises the soft limit to the hard one, for this process and the children it starts; returns what holds then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def requests_that_fit() -> int:
    """How many requests can be open at once, at two sockets each, under the limit that holds now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, (soft - RESERVED) // 2) if soft != resource.RLIM_INFINITY else 1 << 20


def connections_that_fit() -> int:
    """How many connections can be open at once under the limit that holds now, at one socket each."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(16, soft - RESERVED) if soft != resource.RLIM_INFINITY else 1 << 20
