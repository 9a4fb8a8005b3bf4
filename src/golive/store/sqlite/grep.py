"""Which of some bytes stand anywhere in files; a program of its own, run by `erasures.py` in a process of its own.

It imports nothing of golive's, so that it begins in a hundredth of a second: `python -I -S grep.py`. Asked in JSON for
`files`, `values` (hexadecimal) and `most_bytes`, it answers `found` (how many of the values; null: the files are larger
than that) or `error`. What is looked for comes on standard input: arguments are for everybody to see.
"""

import json
import os
import sys

CHUNK = 1 << 20


def found(files: list[str], values: list[bytes], most_bytes: int) -> int | None:
    """How many of the values stand in the files; None: these are larger than that. Holds two chunks in memory.

    Raises:
        OSError: a file cannot be read. One that is not there holds nothing.
    """
    there = [file for file in files if os.path.exists(file)]
    if sum(os.stat(file).st_size for file in there) > most_bytes:
        return None
    left, overlap = set(values), max(map(len, values), default=1) - 1
    for file in there:
        with open(file, "rb") as opened:
            before = b""
            while left and (read := opened.read(CHUNK)):
                chunk = before + read
                left -= {value for value in left if value in chunk}
                before = chunk[len(chunk) - overlap :] if overlap else b""
    return len(set(values)) - len(left)


def main() -> None:
    """Answers what is asked."""
    asked = json.load(sys.stdin)
    try:
        values = [bytes.fromhex(value) for value in asked["values"]]
        answer = {"found": found(asked["files"], values, asked["most_bytes"])}
    except OSError as error:
        answer = {"error": error.strerror or type(error).__name__}  # type: ignore[dict-item]
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main()
