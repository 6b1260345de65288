"""The console's commands, one module each."""
