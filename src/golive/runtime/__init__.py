"""How a run is carried out: step decides, loop performs, journal remembers, stream shows.

Owns the run's state machine and its stream of frames. Models, tools and store are handed in by `app.py`.
"""
