"""The command line: one command a file, imported only when it is called.

Owns what people type and read in a terminal. Leaves the work to the folders below, and to the HTTP API of a server.
"""
