"""What the server tells of itself: metrics and a log, made from the same events as everything else.

Owns names, labels and the form of a line. Leaves what must not be told to `guards/`, and who looks at it to others.
"""
