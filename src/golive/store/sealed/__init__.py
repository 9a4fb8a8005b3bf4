"""A store in which content is sealed: everything that was said, done or told stands in it as ciphertext.

`master.py` has the master keys, `keys.py` the data keys under them, `store.py` the store that wraps a store, and
`offline.py` what `golive store` needs to read a database without a server.
"""
