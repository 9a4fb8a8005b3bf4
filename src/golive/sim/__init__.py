"""A simulated provider: a real HTTP server that speaks OpenAI Chat Completions, with scripted behaviour and faults.

Owns the dialect as the vendor serves it, the scripts, and the provider's own bill. It shares no wire code, no tokenizer
and no price with the rest of golive, so that golive can be checked against it. Virtual time and the simulated world are
the tests' (tests/sim).
"""
