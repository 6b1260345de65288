"""Retrieval on this machine: a global lock against micro-batches, over HTTP, on real passages.

    make bench-retrieval                       # or: python bench/retrieval.py [--seconds 20] [--passages 60000]

The passages are the package descriptions of the system's package index (apt), fetched once into a cache folder with
the index built over them; both are kept for the next run and belong to no repository. Encoder, index, precision and
filters are the same for everything measured; the answer cache is off and every client asks one query a request.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from ties import agreement

HERE = Path(__file__).resolve().parent
RECORD = re.compile(r"^Package: (\S+)\n(?:.*\n)*?Description-en: (.*)\n((?: .*\n?)*)", re.MULTILINE)
LONGEST_QUERY = 390
"""Characters: what the original stack's client cuts its queries to."""


def fetch_passages(target: Path, count: int) -> None:
    """Package descriptions as a corpus of `count` lines. Needs apt and, once, its network."""
    lists = target.parent / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    if not list(lists.glob("*Translation-en*")):
        subprocess.run(
            ["apt-get", "-qq", "-o", "Acquire::Languages=en", "-o", f"Dir::State::lists={lists}", "update"], check=True
        )
    seen: set[str] = set()
    kept: list[str] = []
    for file in sorted(lists.glob("*Translation-en*"), key=lambda file: -file.stat().st_size):
        raw = subprocess.run(["/usr/lib/apt/apt-helper", "cat-file", file], check=True, capture_output=True).stdout
        for block in raw.decode(errors="replace").split("\n\n"):
            found = RECORD.match(block + "\n")
            if not found or found.group(1) in seen:
                continue
            seen.add(found.group(1))
            body = re.sub(r"\s+", " ", re.sub(r"^ \.$", "", found.group(3), flags=re.MULTILINE)).strip()
            text = f"{found.group(2)}. {body}"
            if len(text) > 120:  # shorter ones would not pass the service's own filter
                kept.append(json.dumps({"id": found.group(1), "title": found.group(2), "contents": text}))
    if len(kept) < count:
        sys.exit(f"the package index gives {len(kept)} passages, {count} were asked: lower --passages")
    temporary = target.with_suffix(".tmp")
    temporary.write_text("\n".join(kept[:count]) + "\n")
    temporary.replace(target)


def write_queries(corpus: Path, target: Path, count: int) -> None:
    """Request bodies: beginnings of passages of mixed length, all different."""
    draw = random.Random(11)
    lines = corpus.read_text().splitlines()
    bodies: list[str] = []
    for line in draw.sample(lines, min(count, len(lines))):
        text = json.loads(line)["contents"][: draw.randint(30, LONGEST_QUERY)]
        bodies.append(json.dumps({"queries": [text], "topk": 5, "return_scores": True}))
    target.write_text("\n".join(bodies) + "\n")


def prepare(options: argparse.Namespace) -> tuple[Path, Path]:
    """Index folder and queries, made where they are missing."""
    folder: Path = options.cache / f"{options.passages}"
    folder.mkdir(parents=True, exist_ok=True)
    corpus = folder / "corpus.jsonl"
    if not corpus.exists():
        print("fetching package descriptions", flush=True)
        fetch_passages(corpus, options.passages)
    index = folder / f"{options.model.replace('/', '_')}-{options.document_tokens}"
    if not (index / "eval.index").exists():
        print(f"embedding {options.passages} passages once; this goes on where it stops", flush=True)
        argv = [sys.executable, "-m", "podium_retrieval", "build-index", "--corpus", str(corpus)]
        argv += ["--index-dir", str(index), "--model", options.model]
        argv += ["--document-tokens", str(options.document_tokens), "--batch-tokens", "2048"]
        subprocess.run(argv, check=True)
    queries = folder / "queries.jsonl"
    if not queries.exists():
        write_queries(corpus, queries, 8192)
    return index, queries


def environment(options: argparse.Namespace, index: Path) -> dict[str, str]:
    """The same settings for everything measured."""
    return {
        **os.environ,
        "INDEX_DIR": str(index),
        "EMBEDDING_MODEL": options.model,
        "RETRIEVAL_CACHE_MIB": "0",
        "RETRIEVAL_DEADLINE_S": "300",
        "RETRIEVAL_PORT": "0",
        "RETRIEVAL_MAX_QUERY_TOKENS": "256",
        "TAVILY_API_KEY": "",
        "LOG_LEVEL": "WARNING",
        "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE"),
    }


@contextmanager
def server(options: argparse.Namespace, index: Path, mode: str) -> Iterator[dict[str, Any]]:
    """The service as a process, ready; yields its start line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "podium_retrieval", "serve", "--mode", mode],
        env=environment(options, index),
        stdout=subprocess.PIPE,
        stderr=sys.stderr,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit(f"the service did not start: exit status {process.wait(10)}")
        yield json.loads(line)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def load(port: int, clients: int, queries: Path, seconds: float, warm: float) -> dict[str, Any]:
    """The load generator as a process."""
    argv = [sys.executable, str(HERE / "closed_loop.py"), f"127.0.0.1:{port}", "--clients", str(clients)]
    argv += ["--queries", str(queries), "--seconds", str(seconds), "--warm", str(warm)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, timeout=seconds + warm + 300)
    return json.loads(done.stdout)


def answers(port: int, queries: Path, count: int, at_once: int) -> list[dict[str, float]]:
    """Ids and scores of the first `count` queries' documents, asked `at_once` at a time."""

    def ask(body: bytes) -> dict[str, float]:
        request = Request(f"http://127.0.0.1:{port}/retrieve", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=120) as response:
            [entries] = json.load(response)
        return {entry["document"]["id"]: entry["score"] for entry in entries}

    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(ask, queries.read_bytes().splitlines()[:count]))


def show_equality(alone: list[dict[str, float]], batched: list[dict[str, float]]) -> dict[str, Any]:
    """Whether batches find what one query at a time finds: documents, or others within the scores' own tolerance."""
    worst = max(abs(a[one] - b[one]) for a, b in zip(alone, batched, strict=True) for one in a.keys() & b.keys())
    found = agreement(alone, batched, 2 * worst)
    print(
        f"\nbatched against one at a time: the same documents for {found.same} of {found.n}, "
        f"within {2 * worst:.1e} of a tie for {found.within}; largest difference of a score {worst:.1e}"
    )
    return {
        "queries": found.n,
        "same": found.same,
        "within_tolerance": found.within,
        "largest_difference": worst,
    }


def ceiling(seconds: float) -> dict[str, Any]:
    """What the load generator reaches against a server that does nothing."""
    argv = [sys.executable, str(HERE / "closed_loop.py"), "--ceiling", "--clients", "512", "--seconds", str(seconds)]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, timeout=seconds + 60)
    return json.loads(done.stdout)


def direct(options: argparse.Namespace) -> None:
    """In a process of its own: batches without HTTP, in order of arrival, tokenising included. Prints JSON."""
    import torch
    from podium_retrieval.encoder.sentence import SentenceEmbedder
    from podium_retrieval.settings import Settings
    from podium_retrieval.start import make_ready

    ready = make_ready(Settings())
    engine, embedder = ready.engine, ready.embedder
    assert isinstance(embedder, SentenceEmbedder)
    texts: list[str] = [json.loads(line)["queries"][0] for line in options.queries.read_text().splitlines()]
    dtype = getattr(torch, embedder.dtype)
    flops = peak_flops(dtype)
    bandwidth = peak_bandwidth()
    rows: list[dict[str, Any]] = []
    for size in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        encode: list[float] = []
        search: list[float] = []
        queries = tokens = 0
        engine.run([embedder.prepare(one) for one in texts[:size]])
        start = time.perf_counter()
        position = 0
        while time.perf_counter() - start < options.seconds or len(encode) < 2:
            batch = [embedder.prepare(texts[(position + at) % len(texts)]) for at in range(size)]
            position += size
            result = engine.run(batch)
            encode.append(result.encode_ms)
            search.append(result.search_ms)
            queries += size
            tokens += sum(one.n_tokens for one in batch)
        seconds = time.perf_counter() - start
        mean_tokens = tokens / len(encode)
        encode_floor = max(embedder.weight_bytes / bandwidth, 2 * embedder.parameters * mean_tokens / flops) * 1e3
        scan = ready.index.scan_bytes or 0
        search_floor = (
            max(scan / bandwidth, 2 * ready.index.size * ready.index.dimension * size / peak["float32"]) * 1e3
        )
        rows.append(
            {
                "queries": size,
                "tokens": mean_tokens,
                "queries_per_s": queries / seconds,
                "encode_ms": sum(encode) / len(encode),
                "encode_floor_ms": encode_floor,
                "search_ms": sum(search) / len(search),
                "search_floor_ms": search_floor,
            }
        )
    print(json.dumps({"rows": rows, "flops": flops, "bytes_per_s": bandwidth, "blas_from": ready.index.blas_from}))


peak: dict[str, float] = {}


def peak_flops(dtype: Any) -> float:
    """FLOP/s of large products in `dtype` here; float32 is kept too, for the index."""
    import torch

    for one in {dtype, torch.float32}:
        a, b = (torch.randn(1536, 1536).to(one) for _ in range(2))
        best = float("inf")
        for _ in range(12):
            start = time.perf_counter()
            a @ b
            best = min(best, time.perf_counter() - start)
        peak[str(one).removeprefix("torch.")] = 2 * 1536**3 / best
    return peak[str(dtype).removeprefix("torch.")]


def peak_bandwidth() -> float:
    """Bytes/s of reading memory well beyond the caches."""
    import torch

    block = torch.ones(1 << 26)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        block.sum()
        best = min(best, time.perf_counter() - start)
    return block.numel() * 4 / best


def show_direct(measured: dict[str, Any]) -> float:
    """A table; returns the best queries/s."""
    print(
        f"\ndirect batches, no HTTP ({measured['flops'] / 1e9:.0f} GFLOP/s, {measured['bytes_per_s'] / 1e9:.1f} GB/s "
        f"here; BLAS from {measured['blas_from']} queries)"
    )
    print("batch  tokens  queries/s  encode ms  x floor  search ms  x floor")
    for row in measured["rows"]:
        print(
            f"{row['queries']:5} {row['tokens']:7.0f} {row['queries_per_s']:10.1f} {row['encode_ms']:10.1f}"
            f" {row['encode_ms'] / row['encode_floor_ms']:8.2f} {row['search_ms']:10.1f}"
            f" {row['search_ms'] / row['search_floor_ms']:8.2f}"
        )
    return max(row["queries_per_s"] for row in measured["rows"])


def show_load(mode: str, row: dict[str, Any]) -> None:
    """One line of the table."""
    bad = sum(count for status, count in row["statuses"].items() if status != "200") + row["lost"]
    p50, p99 = row["p50_s"], row["p99_s"]
    times = "       -        -       -" if not p50 else f"{p50 * 1e3:8.1f} {p99 * 1e3:8.1f} {p99 / p50:7.2f}"
    print(
        f"{mode:5} {row['clients']:7} {row['queries_per_s']:10.1f} {times} {bad:6} {row['generator_cpu_s']:10.2f}",
        flush=True,
    )


def main() -> int:
    """Everything in one run; exit status 1 when a goal is missed and --check asks."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podium" / "bench-retrieval"
    parser.add_argument("--cache", type=Path, default=cache, help="where passages and index are kept")
    parser.add_argument("--passages", type=int, default=51_000)
    parser.add_argument(
        "--document-tokens", type=int, default=32, help="of a passage, embedded; speed alone is measured"
    )
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--clients", default="1,8,64,512")
    parser.add_argument("--seconds", type=float, default=15, help="of each closed loop")
    parser.add_argument("--direct-seconds", type=float, default=4, help="of each direct batch size")
    parser.add_argument("--json", type=Path, help="also write everything there")
    parser.add_argument("--check", action="store_true", help="fail when a goal is missed")
    parser.add_argument("--direct-only", type=Path, metavar="QUERIES", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.direct_only:
        options.queries, options.seconds = options.direct_only, options.direct_seconds
        direct(options)
        return 0
    index, queries = prepare(options)
    counts = [int(one) for one in options.clients.split(",")]
    results: dict[str, Any] = {"ceiling": ceiling(3), "load_average_before": os.getloadavg()}
    print(f"load generator alone: {results['ceiling']['queries_per_s']:.0f} answers/s at 512 clients")
    done = subprocess.run(
        [sys.executable, __file__, "--direct-only", str(queries), "--direct-seconds", str(options.direct_seconds)],
        env={**environment(options, index), "RETRIEVAL_BATCH_TOKENS": "2048"},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    results["direct"] = json.loads(done.stdout.splitlines()[-1])
    best = show_direct(results["direct"])
    found: dict[str, list[dict[str, float]]] = {}
    for mode in ("lock", "batch"):
        with server(options, index, mode) as start:
            results[f"{mode}_start"] = start
            if mode == "lock":
                print(
                    f"\n{start['model']} {start['dtype']} on {start['device']}, {start['n']} passages, {start['index']}"
                )
                print("mode  clients  queries/s   p50 ms   p99 ms p99/p50 failed  generator cpu s")
            else:
                print(f"(budget {start['batch_tokens']} tokens, measured in {start['measured_s']} s)")
            rows: list[dict[str, Any]] = []
            for clients in counts:
                # A closed loop has settled when every client has been answered once: a lock takes long for that.
                warm = max(3.0, 1.3 * clients / rows[-1]["queries_per_s"]) if rows else 3.0
                rows.append(load(start["port"], clients, queries, max(options.seconds, warm), warm))
                show_load(mode, rows[-1])
            results[mode] = rows
            found[mode] = answers(start["port"], queries, 256, 1 if mode == "lock" else 64)
    results["equality"] = show_equality(found["lock"], found["batch"])
    results["load_average_after"] = os.getloadavg()
    met = show_goals(results, best)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))
    return 0 if met or not options.check else 1


def show_goals(results: dict[str, Any], best: float) -> bool:
    """The project's own goals for two CPU cores; True when all are met."""
    lock, batch = results["lock"], results["batch"]
    goals = [
        ("batch / lock, most clients", batch[-1]["queries_per_s"] / lock[-1]["queries_per_s"], 3.0, True),
        ("batch / best direct batch, most clients", batch[-1]["queries_per_s"] / best, 0.85, True),
        ("p99 / p50, batch, most clients", batch[-1]["p99_s"] / batch[-1]["p50_s"], 1.5, False),
        ("p50 batch / p50 lock, fewest clients", batch[0]["p50_s"] / lock[0]["p50_s"], 1.1, False),
        (
            "queries that batches answer alike",
            results["equality"]["within_tolerance"],
            results["equality"]["queries"],
            True,
        ),
    ]
    print()
    for name, value, goal, at_least in goals:
        met = value >= goal if at_least else value <= goal
        print(f"{name:42} {value:6.2f}  goal {'>=' if at_least else '<='} {goal}  {'met' if met else 'MISSED'}")
    return all(value >= goal if at_least else value <= goal for _, value, goal, at_least in goals)


if __name__ == "__main__":
    sys.exit(main())
