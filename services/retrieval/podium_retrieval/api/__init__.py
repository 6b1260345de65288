"""The HTTP interface: application, server, request bodies."""
