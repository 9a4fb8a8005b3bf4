"""Where users' code runs: worker processes, one pool per version digest, and an inline mode for `dev` and unit tests.

Owns processes, their protocol, capacity, deadlines and replacement. What happens to a call where the code is loaded
(check, call, write the result down) is `tools/executor.py`, shared by both modes.
"""
