"""What an operator does to a store: change its schema, check it, copy it, back it up, restore it.

Owns how that is done safely beside servers, for both databases alike. Imported by `golive store` alone.
"""
