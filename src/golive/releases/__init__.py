"""Which version of an agent answers: its digest, its name, and (later) how it is rolled out.

`digest.py` says what a version is; `registry.py` binds its name to that, once.
"""
