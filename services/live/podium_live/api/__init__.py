"""The HTTP side: who may ask, pages, streams, reports made on demand."""
