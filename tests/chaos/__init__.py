"""Chaos over real processes: golive's built wheel is killed, frozen, cut off and starved of disk while clients use it.

`python -m tests.chaos --help`, or `make chaos`. `stage` sets everything up, `clients` use it, `monkey` breaks it,
`person` decides what waits for a decision, `checkers` judge what is left, and know nothing of the server's own code.
"""
