"""Configuration: one frozen schema, read once, each value with its origin.

Owns `schema.py` (what may stand in golive.toml and agent.toml), `load.py` (reads files and environment), `secrets.py`
(resolves references) and `explain.py` (shows value, origin and default). Nothing else in golive reads files of settings
or the environment.
"""
