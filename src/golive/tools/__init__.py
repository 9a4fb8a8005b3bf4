"""Tools as the runtime sees them: a set with specs, and a call that returns an outcome.

Owns what a tool is, its JSON Schema from a function's signature, and loading a folder's `tools.py`. Where the function
runs (worker process or inline) is `workers/`; MCP servers will be another toolset.
"""
