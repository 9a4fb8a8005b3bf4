"""A store in which content is sealed: everything that was said, done or told stands in it as ciphertext.

Owns what is sealed, under which keys, and how those are wrapped: `master.py` the master keys, `keys.py` the data keys
under them, `values.py` what is bound to what, `store.py` the store that wraps a store, `rotation.py` the change of the
master key, `offline.py` what `golive store` needs without a server. Leaves rows to the stores, ciphers to `core/`.
"""
