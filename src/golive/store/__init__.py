"""Where golive remembers: journal, ledger, outbox, leases, run views, versions, keys.

`ports.py` is the contract; `sqlite/` keeps it on one file. Owns durability and atomicity; knows nothing of what the
bytes mean.
"""
