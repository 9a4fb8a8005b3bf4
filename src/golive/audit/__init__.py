"""The audit log: who did what, on what, when, from where, and what became of it; so that nobody can change it unseen.

Owns what an entry says, writing entries in groups, signatures, and what a chain proves. Leaves rows and their order to
`store/audit.py`, and when something is worth an entry to the door (`gateway/audit.py`) and to commands.
"""
