"""Prompt templates and tool descriptions, and the code that fills them in."""
