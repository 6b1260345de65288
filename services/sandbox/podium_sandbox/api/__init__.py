"""The HTTP interface: application, body limit, admission, metrics."""
