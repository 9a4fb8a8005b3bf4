"""Where golive remembers: journal, ledger, outbox, leases, run views, versions, keys.

`ports.py` is the contract; `sqlite/` keeps it on one file, `postgres/` in a database for many servers. `ddl/` makes
their tables, `schema.py` says which of them a server can use; `migrations/` and `upkeep/` are `golive store`'s alone.
Owns durability and atomicity; knows nothing of what the bytes mean.
"""
