"""Tokenising of queries, away from the event loop where they are long."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from podium_retrieval.encoder.embedder import Embedder, Prepared

_TOKENISE_HERE_CHARS: Final = 2000
"""Up to this length tokenising costs less than handing it to another thread."""


class Preparation:
    """Prepares queries for an embedder, which it closes at the end."""

    def __init__(self, embedder: Embedder, threads: int = 2) -> None:
        self._embedder = embedder
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="retrieval-tokens")

    async def prepare(self, query: str) -> Prepared:
        """A query's tokens."""
        if len(query) <= _TOKENISE_HERE_CHARS:
            return self._embedder.prepare(query)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._embedder.prepare, query)

    def close(self) -> None:
        """End the threads and close the embedder."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._embedder.close()
