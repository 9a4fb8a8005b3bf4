"""The store on PostgreSQL: any number of servers share one database.

Owns everything that is PostgreSQL's: SQL, connections, roles, error codes. Leaves the contract to `store/ports.py`.
`store.py` is the face and `tenant.py` a tenant's handle; `flusher.py` groups what wants to be written, and `group.py`
makes a group one statement; `pool.py` is for everything else, and `work.py` what servers take to work on; `waiting.py`
knows who waits for a run to change; `schema.py` makes an empty database ready; `connection.py` opens connections and
names their faults.
"""

from golive.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
