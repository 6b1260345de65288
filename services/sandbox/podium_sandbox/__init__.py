"""Runs the Python programs that experts write, in isolation, and reports how they ended."""
