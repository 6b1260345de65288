"""One program run: its output, usage and outcome."""
