"""Dense retrieval over FAISS: one owner of encoder and index, micro-batches, many clients that ask one query each."""
