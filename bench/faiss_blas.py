"""From how many queries BLAS pays in a flat float32 search on one CPU core.

python bench/faiss_blas.py
"""

import time

import faiss
import numpy as np
from podium_retrieval.index.faiss_index import FaissIndex, set_threads

VECTORS, DIMENSION, K = 67_000, 384, 100


def milliseconds_a_query(index: FaissIndex, queries: np.ndarray, blas_from: int) -> float:
    """CPU time, best of five."""
    index.blas_from = blas_from
    index.search(queries, K)
    times: list[float] = []
    for _ in range(5):
        start = time.process_time()
        index.search(queries, K)
        times.append(time.process_time() - start)
    return min(times) / len(queries) * 1e3


def main() -> None:
    """Print a table."""
    set_threads(1)
    generator = np.random.default_rng(0)
    threshold = faiss.cvar.distance_compute_blas_threshold
    index = FaissIndex.flat(generator.standard_normal((VECTORS, DIMENSION), np.float32))
    print(f"faiss {faiss.__version__}, {VECTORS} x {DIMENSION} float32, k={K}, default threshold {threshold}")
    print("queries  scan ms/query  blas ms/query")
    for n in (1, 2, 4, 8, 16, 32, 64, 128):
        queries = generator.standard_normal((n, DIMENSION), np.float32)
        scan, blas = (milliseconds_a_query(index, queries, start) for start in (n + 1, 1))
        print(f"{n:7} {scan:14.2f} {blas:14.2f}")


if __name__ == "__main__":
    main()
