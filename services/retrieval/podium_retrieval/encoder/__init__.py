"""Embedding models: loaded, packed and run."""
