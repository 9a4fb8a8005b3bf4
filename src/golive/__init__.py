"""golive: the production server for AI agents, and the go-live check that proves it."""

__version__ = "0.1.0"
