"""A simulated provider: a real HTTP server that speaks as OpenAI, Anthropic and Google do, with scripted behaviour.

Owns the dialects as vendors serve them, the scripts and their faults, and the provider's own bill. It shares no wire
code, no tokenizer and no price with the rest of golive, so that golive can be checked against it. Virtual time and the
simulated world are the tests' (tests/sim).
"""
