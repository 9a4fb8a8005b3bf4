"""What must not leave the server.

Owns the redaction of credentials, in text and in the fields of log events. Leaves to `app.py` where it is applied; what
screens prompts, tool results and answers comes here too.
"""
