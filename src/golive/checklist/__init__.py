"""The go-live check: proves promises by provoking the situation against a running server, and says GO or NO-GO.

Owns the register of checks, the targets they are held against (`Remote`, `Twin`), the engine with its phases, the
verdict, and the report (data first; renderers on top). Never asks a server whether it is fine: what counts is what came
back over HTTP, what the simulated provider was asked, and what the processes left behind.
"""
