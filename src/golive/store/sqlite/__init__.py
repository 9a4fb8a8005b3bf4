"""The store on one SQLite file: nothing else to start, several processes may share the file.

`store.py` is the face; `writer.py` groups what wants to be written, `group.py` turns a group into one transaction,
`readers.py` reads beside it, `schema.py` brings a file to the schema, `connection.py` opens it and names its faults.
"""

from golive.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
