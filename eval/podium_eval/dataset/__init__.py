"""Questions: read from a file or the hub, checked and selected."""
