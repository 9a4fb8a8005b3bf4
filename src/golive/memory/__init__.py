"""What of the past goes into a prompt.

Owns the choice of earlier turns; knows no store: the runs' transcripts are handed in. Long-term memory comes here too.
"""
