"""The store on one SQLite file: nothing else to start, several processes may share the file.

Owns everything that is SQLite's: SQL, pragmas, threads, result codes. Leaves the contract to `store/ports.py`.
`store.py` is the face and `tenant.py` a tenant's handle; `writer.py` groups what wants to be written, `group.py` makes
a group one transaction, `bulk.py` writes many rows in few steps; `readers.py` reads beside it; `stepaside.py` sees that
a busy loop lets both run; `schema.py` brings a file to the schema; `connection.py` opens it and names its faults.
"""

from golive.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
