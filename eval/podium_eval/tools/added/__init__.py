"""Tools beside the built-in ones: found, started, held to limits."""
