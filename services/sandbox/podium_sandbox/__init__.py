"""Runs the Python programs that experts write, behind walls, and says what became of them."""
