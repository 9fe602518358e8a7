"""Ambient probes: the state of the interpreter, of the process and of libraries, one small object each."""
