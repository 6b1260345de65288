"""FAISS indexes and the corpus beside them."""
