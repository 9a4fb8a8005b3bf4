"""Golive's own checks, each provoking one situation.

Owns what is provoked and what must come of it. Leaves sending to `target.py`, faults to `simulator.py`, phases and
verdicts to the engine. Every check has a test in which it fails because the thing is really broken (docs/check.md).
"""
