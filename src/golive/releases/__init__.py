"""Which version of an agent answers: its digest, its name, and (later) how it is rolled out.

Owns `digest.py`, which says what a version is, and `registry.py`, which binds its name to that, once.
"""
