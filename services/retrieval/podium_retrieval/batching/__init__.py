"""Requests gathered into batches, and the threads that run them."""
