"""What the two tools of bench/durable.py do, alike for all: tell the outside world, and wait for its word.

Standard library only: it is imported in each contender's own environment, golive's worker included.
"""

import json
import os
import socket


def ask(tool: str, key: str, phase: str) -> dict:
    """One request to the outside world: `phase` is begun (nothing happens yet), do, or look."""
    with socket.create_connection(("127.0.0.1", int(os.environ["WORLD_PORT"])), timeout=60) as connection:
        connection.sendall(json.dumps({"tool": tool, "key": key, "phase": phase}).encode() + b"\n")
        with connection.makefile("rb") as answer:
            return json.loads(answer.readline())


def act(tool: str, key: str) -> str:
    """Carries the tool out."""
    ask(tool, key, "begun")
    return f"{tool}: receipt {ask(tool, key, 'do')['receipt']}"
