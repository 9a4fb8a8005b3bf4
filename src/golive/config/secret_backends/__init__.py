"""Where secrets are kept: one module for each kind of reference, asked in threads and never on the event loop.

Owns how a reference is written (`reference.py`) and how each backend is spoken to. Leaves caching, staleness and
revocation to `config/secrets.py`. The libraries of AWS and Vault are imported with the first reference that needs them.
"""
