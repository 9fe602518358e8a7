"""Doubles: what a test puts in the place of a tool server, a model, an upstream or a client.

Each works in a plain REPL, as a context manager; the fixtures of the same names are a few lines over them.
"""
