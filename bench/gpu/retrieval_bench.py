"""Retrieval on one GPU: the Qwen3-Embedding-8B shape with random weights and a flat index of random vectors.

Nothing is fetched: weights are made on the GPU, the tokenizer is a word list, the corpus is generated. What is
measured is what the service runs: its encoder, its index, its owner, its HTTP server.

    PYTHONPATH=services/contracts:services/retrieval python3 bench/gpu/retrieval_bench.py              # one H200
    PYTHONPATH=services/contracts:services/retrieval python3 bench/gpu/retrieval_bench.py --soak 600 --only soak
    python bench/gpu/retrieval_bench.py --tiny                                                         # any CPU

Each part is tried on its own: one that fails is named with its error, and the rest goes on. The last line of the
output is one JSON object with everything.
"""

import argparse
import asyncio
import json
import logging
import random
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import orjson
import torch
import uvicorn
import uvloop
from podium_retrieval.answer_cache import AnswerCache
from podium_retrieval.api.app import HttpOptions, create_app
from podium_retrieval.api.request import RequestLimits
from podium_retrieval.batching.batch_worker import Owner
from podium_retrieval.batching.calibration import calibrate
from podium_retrieval.batching.engine import BatchResult, Engine
from podium_retrieval.batching.lock_worker import Lock
from podium_retrieval.batching.policy import Budget
from podium_retrieval.batching.preparation import Preparation
from podium_retrieval.documents import Documents
from podium_retrieval.encoder.embedder import Prepared
from podium_retrieval.encoder.sentence import EncoderOptions, SentenceEmbedder
from podium_retrieval.index.candidates import Filter
from podium_retrieval.index.corpus import Corpus
from podium_retrieval.index.faiss_index import FaissIndex, IndexOptions, set_threads
from podium_retrieval.metrics import Metrics
from podium_retrieval.service import SearchService
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parent.parent))  # bench/, for what its other scripts share

from ties import agreement  # noqa: E402
from unpadded import encode, features_of, unpad  # noqa: E402

WORDS = 20_000
QWEN3_8B = {
    "hidden_size": 4096,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 12_288,
    "vocab_size": 151_665,
    "rope_theta": 1e6,
    "rms_norm_eps": 1e-6,
    "max_position_embeddings": 32_768,
}
TINY = {
    **QWEN3_8B,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 128,
    "vocab_size": WORDS + 2,
}


@dataclass(frozen=True)
class Machine:
    """Ceilings to hold results against: measured here on a GPU, by large products and copies."""

    flops: float
    bytes_per_s: float


class Bench:
    """What the parts share; `results` is printed at the end."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.device = options.device
        self.dtype = "float16" if self.device.startswith("cuda") else "float32"
        self.results: dict[str, Any] = {}
        self.random = random.Random(7)
        self.shape = TINY if options.tiny else QWEN3_8B

    def part(self, name: str, act: Callable[[], Any]) -> Any:
        """Run one part, keep its result or its error."""
        if self.options.only and name not in self.options.only.split(","):
            return None
        started = time.perf_counter()
        print(f"\n== {name}", flush=True)
        try:
            result = act()
        except Exception as error:
            traceback.print_exc(limit=-4)
            result = {"error": f"{type(error).__name__}: {error}"[:400]}
            print(f"   FAILED: {result['error']}")
        self.results[name] = result
        print(f"   ({time.perf_counter() - started:.1f} s)", flush=True)
        return result

    def text(self, words: int) -> str:
        """A text of that many tokens; the encoder adds one at the end."""
        return " ".join(f"w{self.random.randrange(WORDS)}" for _ in range(words))

    def mixed(self, count: int) -> list[str]:
        """Queries of 16 to 96 tokens, all lengths equally likely."""
        return [self.text(self.random.randint(15, 95)) for _ in range(count)]

    def synchronise(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()


# --- what is measured ------------------------------------------------------------------------------------------------


def make_tokenizer(folder: Path) -> None:
    """One token a word, and an end token, as Qwen3-Embedding's tokenizer adds one."""
    vocabulary = {f"w{number}": number for number in range(WORDS)} | {"<end>": WORDS, "<unk>": WORDS + 1}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(single="$A <end>", special_tokens=[("<end>", WORDS)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<end>",
        eos_token="<end>",
        unk_token="<unk>",
        padding_side="left",
        model_max_length=8192,
    ).save_pretrained(folder)


def make_model(bench: Bench) -> SentenceTransformer:
    """A SentenceTransformer around random weights that were never on a disk.

    A stand-in of one layer goes the usual way of files; then the whole model takes its place.
    """
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    folder = bench.folder / "model"
    make_tokenizer(folder)
    small = {**bench.shape, "num_hidden_layers": 1, "vocab_size": 64, "intermediate_size": 64}
    Qwen3Model(Qwen3Config(**small)).half().save_pretrained(folder)
    transformer = Transformer(str(folder))
    dtype = getattr(torch, bench.dtype)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(bench.device):
            torch.manual_seed(0)
            model = Qwen3Model(Qwen3Config(**bench.shape))
    finally:
        torch.set_default_dtype(before)
    model.set_attn_implementation("sdpa")
    transformer.model = model.to(dtype).eval()
    whole = SentenceTransformer(
        modules=[transformer, Pooling(bench.shape["hidden_size"], "lasttoken"), Normalize()], device=bench.device
    )
    return whole.eval()


def encoder(bench: Bench, model: SentenceTransformer, **changes: Any) -> SentenceEmbedder:
    """The service's encoder over the model, with other options than the defaults where a part wants them."""
    options = {"packing": True, "cuda_graphs": True, "compile": False, **changes}
    if not options["packing"]:
        model[0].model.set_attn_implementation("sdpa")
    made = SentenceEmbedder(
        model,
        EncoderOptions(
            model="qwen3-embedding-8b shape" if not bench.options.tiny else "tiny",
            device=bench.device,
            dtype=bench.dtype,
            query_tokens=512,
            document_tokens=512,
            instruction="",
            **options,
        ),
    )
    if made.packed != options["packing"]:
        raise RuntimeError("the packed forward was refused; see the warning above")
    return made


def make_index(bench: Bench) -> tuple[FaissIndex, Path]:
    """Random unit vectors in fp16, moved to the GPU as the service moves them, and a corpus of as many lines."""
    count, dimension = bench.options.documents, bench.shape["hidden_size"]
    index = faiss.IndexScalarQuantizer(dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    generator = torch.Generator(bench.device).manual_seed(1)
    for start in range(0, count, 20_000):
        size = min(20_000, count - start)
        vectors = torch.randn(size, dimension, generator=generator, device=bench.device)
        index.add(torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy())
    corpus = bench.folder / "eval.jsonl"
    with corpus.open("wb") as file:
        for row in range(count):
            text = f"passage {row} " + "of some generated words " * 8
            file.write(orjson.dumps({"id": str(row), "title": f"passage {row}", "contents": text}) + b"\n")
    held = FaissIndex(index, "flat-float16", "cpu")
    return held.to_device(IndexOptions(device=bench.device if bench.device != "cpu" else "cpu")), corpus


# --- parts -----------------------------------------------------------------------------------------------------------


def measure_machine(bench: Bench) -> Machine:
    """FLOP/s of a large product and bytes/s of a large copy."""
    size, dtype = (8192, torch.float16) if bench.device.startswith("cuda") else (1024, torch.float32)
    a, b = (torch.randn(size, size, device=bench.device, dtype=dtype) for _ in range(2))
    product = timed(bench, lambda: a @ b, 10)
    source = torch.empty((1 << 32) // 4 if size == 8192 else 1 << 24, device=bench.device)
    target = torch.empty_like(source)
    copy = timed(bench, lambda: target.copy_(source), 10)
    machine = Machine(2 * size**3 / product, 2 * source.numel() * 4 / copy)
    print(f"   {machine.flops / 1e12:.1f} TFLOP/s ({size}³), {machine.bytes_per_s / 1e12:.3f} TB/s (copy)")
    return machine


def timed(bench: Bench, act: Callable[[], Any], runs: int) -> float:
    """Seconds of one run, the median of `runs`, each waited for; two runs before the clock."""
    for _ in range(2):
        act()
    times: list[float] = []
    for _ in range(runs):
        bench.synchronise()
        start = time.perf_counter()
        act()
        bench.synchronise()
        times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2]


def throughput(bench: Bench, made: SentenceEmbedder, batches: Sequence[Sequence[Prepared]]) -> float:
    """Queries/s over all batches, after one pass to warm every shape."""
    for batch in batches:
        made.encode(batch)
    bench.synchronise()
    start = time.perf_counter()
    for batch in batches:
        made.encode(batch)
    bench.synchronise()
    return sum(len(batch) for batch in batches) / (time.perf_counter() - start)


def orders(bench: Bench, model: SentenceTransformer, machine: Machine) -> dict[str, Any]:
    """Mixed lengths: padded in arrival order, padded by length, packed."""
    texts = bench.mixed(bench.options.mixed)
    plain = encoder(bench, model, packing=False)
    prepared = [plain.prepare(one) for one in texts]
    by_length = sorted(prepared, key=lambda one: one.n_tokens)
    tokens = sum(one.n_tokens for one in prepared)
    per_token = 2 * plain.parameters
    results: dict[str, Any] = {"floor_queries_per_s": machine.flops * len(prepared) / (per_token * tokens)}
    size = bench.options.batch

    def cut(what: Sequence[Prepared], n: int) -> list[Sequence[Prepared]]:
        return [what[at : at + n] for at in range(0, len(what), n)]

    results["arrival_padded"] = throughput(bench, plain, cut(prepared, size))
    results["sorted_padded"] = throughput(bench, plain, cut(by_length, size))
    variants: list[tuple[str, dict[str, Any]]] = [("packed", {}), ("packed_compiled", {"compile": True})]
    for name, changes in variants:
        if changes.get("compile") and not bench.options.compile:
            continue
        for n in (32, 64, 128):
            try:
                made = encoder(bench, model, **changes)
                results[f"{name}_{n}"] = throughput(bench, made, cut(prepared, n))
            except Exception as error:
                results[f"{name}_{n}"] = None
                print(f"   {name}_{n} FAILED: {type(error).__name__}: {str(error)[:300]}")
    results.update(unpadded(bench, model, texts, encoder(bench, model), prepared))
    best = max(value for name, value in results.items() if name.startswith("packed") and value)
    results["packed_to_arrival"] = best / results["arrival_padded"]
    for name, value in results.items():
        print(f"   {name:24} {round(value, 2) if isinstance(value, float) else value}")
    return results


def unpadded(
    bench: Bench, model: SentenceTransformer, texts: Sequence[str], ours: SentenceEmbedder, prepared: Sequence[Prepared]
) -> dict[str, Any]:
    """sentence-transformers' own `unpad_inputs` with FlashAttention, tokenised before; the smallest cosine to ours.

    The model is as it was afterwards.
    """
    before = model[0].model.config._attn_implementation
    wanted = ours.encode(prepared[:64])
    results: dict[str, Any] = {}
    try:
        results["st_unpadded_kernel"] = unpad(model)
        for n in (32, 64, 128):
            batches = [features_of(model, texts[at : at + n]) for at in range(0, len(texts), n)]
            results["st_unpadded_cosine"] = float((encode(model, batches[0])[:32] * wanted[:32]).sum(1).min())
            for batch in batches:
                encode(model, batch)
            bench.synchronise()
            start = time.perf_counter()
            for batch in batches:
                encode(model, batch)
            bench.synchronise()
            results[f"st_unpadded_{n}"] = len(texts) / (time.perf_counter() - start)
    except Exception as error:
        results["st_unpadded_error"] = f"{type(error).__name__}: {str(error)[:300]}"
    finally:
        model[0].unpad_inputs = False
        model[0].model.config._attn_implementation = before
    return results


def sizes(bench: Bench, engine: Engine, machine: Machine) -> list[dict[str, Any]]:
    """The direct batch, without HTTP: each size against its floor."""
    made = engine.embedder
    assert isinstance(made, SentenceEmbedder)
    assert isinstance(engine.index, FaissIndex)
    rows: list[dict[str, Any]] = []
    print("   queries tokens  encode ms  search ms  queries/s  encode floor ms (bound)   x floor  search floor ms")
    for size in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        batch = [made.prepare(one) for one in bench.mixed(size)]
        tokens = sum(one.n_tokens for one in batch)
        results = [engine.run(batch) for _ in range(bench.options.runs + 2)][2:]
        encode = sorted(one.encode_ms for one in results)[len(results) // 2]
        search = sorted(one.search_ms for one in results)[len(results) // 2]
        by_bytes = made.weight_bytes / machine.bytes_per_s * 1e3
        by_flops = 2 * made.parameters * tokens / machine.flops * 1e3
        floor = max(by_bytes, by_flops)
        scan = (engine.index.scan_bytes or 0) / machine.bytes_per_s * 1e3
        row = {
            "queries": size,
            "tokens": tokens,
            "encode_ms": encode,
            "search_ms": search,
            "queries_per_s": size / (encode + search) * 1e3,
            "floor_ms": floor,
            "bound": "bytes" if by_bytes > by_flops else "flops",
            "times_floor": encode / floor,
            "search_floor_ms": scan,
        }
        rows.append(row)
        print(
            f"   {size:7} {tokens:6} {encode:10.2f} {search:10.2f} {row['queries_per_s']:10.1f}"
            f" {floor:10.2f} ({row['bound']}) {row['times_floor']:16.2f} {scan:14.2f}"
        )
    return rows


def direct(bench: Bench, engine: Engine) -> dict[str, Any]:
    """The best that batches of mixed lengths reach without HTTP, tokenising and reading of documents included."""
    texts = bench.mixed(bench.options.mixed)
    best: dict[str, Any] = {}
    for size in (16, 32, 64, 128, 256):
        batches = [texts[at : at + size] for at in range(0, len(texts), size)]

        def once(batches: list[list[str]] = batches) -> None:
            for batch in batches:
                engine.run([engine.embedder.prepare(one) for one in batch])

        once()
        start = time.perf_counter()
        once()
        best[str(size)] = len(texts) / (time.perf_counter() - start)
    print("   " + ", ".join(f"{size}: {rate:.1f}/s" for size, rate in best.items()))
    return best


def equality(bench: Bench, engine: Engine) -> dict[str, Any]:
    """Two batches, the second begun before the first is finished, against their queries one at a time.

    In half precision a query's vector differs in its last bits with the batch around it, so scores agree within a
    tolerance, measured here; documents are the same when each that only one of the two lists holds scores within
    twice that tolerance of the other list's tenth.
    """
    batches = [[engine.embedder.prepare(one) for one in bench.mixed(64)] for _ in range(2)]
    begun = [engine.begin(batch) for batch in batches]
    together = [engine.finish(one) for one in begun]
    worst = 0.0
    alone: list[dict[int, float]] = []
    batched: list[dict[int, float]] = []
    for batch, result in zip(batches, together, strict=True):
        for at, one in enumerate(batch):
            single = engine.run([one])
            worst = max(worst, float(np.abs(single.scores[0, :10] - result.scores[at, :10]).max()))
            alone.append(top10(single, 0))
            batched.append(top10(result, at))
    found = agreement(alone, batched, 2 * worst)
    print(
        f"   top 10 the same for {found.same} of {found.n}, within {2 * worst:.1e} of a tie for {found.within}; "
        f"largest difference of a score {worst:.2e}"
    )
    return {
        "queries": found.n,
        "same_top10": found.same,
        "within_tolerance": found.within,
        "largest_difference": worst,
    }


def top10(result: BatchResult, at: int) -> dict[int, float]:
    """Rows and scores of a query's best ten."""
    return dict(zip(result.rows[at, :10].tolist(), result.scores[at, :10].tolist(), strict=True))


@contextmanager
def served(bench: Bench, engine: Engine, corpus: Path, mode: str, budget: Budget) -> Iterator[str]:
    """The service's own HTTP server in a thread of this process, so that the weights are made once."""
    metrics = Metrics()
    limits = {"queue_limit": 4096, "watchdog_s": 120.0, "observer": metrics}
    worker = Lock(engine, **limits) if mode == "lock" else Owner(engine, budget, **limits)
    address: list[str] = []
    servers: list[uvicorn.Server] = []
    up = threading.Event()

    async def run() -> None:
        service = SearchService(
            worker,
            Preparation(_Borrowed(engine.embedder)),
            Documents(
                Corpus.open(corpus), Filter(min_score=-1.0, min_content_chars=100)
            ),  # random vectors score near 0
            AnswerCache(0),
            None,
            metrics,
            300.0,
        )
        app = create_app(
            service,
            metrics,
            HttpOptions(
                limits=RequestLimits(queries=64, query_chars=100_000, topk=1000),
                max_body_bytes=1 << 20,
                shape="list",
                drain_s=30,
            ),
        )
        server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=0, access_log=False, log_config=None, backlog=4096)
        )
        servers.append(server)
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110  uvicorn has a flag, no event
            await asyncio.sleep(0.02)
        port = server.servers[0].sockets[0].getsockname()[1]
        address.append(f"127.0.0.1:{port}")
        up.set()
        await serving

    def serve() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as podium_retrieval.api.server has it
            runner.run(run())

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    if not up.wait(60):
        raise RuntimeError("the server did not start")
    try:
        yield address[0]
    finally:
        servers[0].should_exit = True
        thread.join(60)


class _Borrowed:
    """The encoder without its close: several servers use it one after the other."""

    def __init__(self, owned: Any) -> None:
        self._owned = owned

    def __getattr__(self, name: str) -> Any:
        return getattr(self._owned, name)

    def close(self) -> None:
        pass


def load(address: str, clients: int, seconds: float, queries: Path, warm: float) -> dict[str, Any]:
    """The load generator in a process of its own."""
    argv = [sys.executable, str(HERE.parent.parent / "closed_loop.py"), address, "--clients", str(clients)]
    argv += ["--seconds", str(seconds), "--warm", str(warm), "--queries", str(queries)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds + warm + 180, check=False)
    if done.returncode:
        raise RuntimeError(f"the load generator failed: {done.stderr[-400:]}")
    return json.loads(done.stdout)


def over_http(
    bench: Bench, engine: Engine, corpus: Path, mode: str, budget: Budget, counts: Sequence[int]
) -> list[dict[str, Any]]:
    """Closed loops of that many clients, one query a request."""
    queries = bench.folder / "queries.jsonl"
    if not queries.exists():
        lines = [orjson.dumps({"queries": [one], "topk": 5, "return_scores": True}) for one in bench.mixed(4096)]
        queries.write_bytes(b"\n".join(lines) + b"\n")
    rows: list[dict[str, Any]] = []
    with served(bench, engine, corpus, mode, budget) as address:
        for clients in counts:
            warm = bench.options.warm * (3 if clients >= 512 and mode == "lock" else 1)
            row = load(address, clients, bench.options.seconds, queries, warm)
            rows.append(row)
            p50, p99 = row["p50_s"], row["p99_s"]
            ratio = None if not p50 else p99 / p50
            print(
                f"   {mode:5} {clients:4} clients: {row['queries_per_s']:8.1f} queries/s, p50 {ms(p50)} ms, "
                f"p99 {ms(p99)} ms, p99/p50 {'-' if ratio is None else f'{ratio:.2f}'}, statuses {row['statuses']}, "
                f"generator {row['generator_cpu_s']:.2f} cpu s",
                flush=True,
            )
    return rows


def ms(seconds: float | None) -> str:
    """Milliseconds, or a dash."""
    return "-" if seconds is None else f"{seconds * 1e3:.1f}"


def soak(bench: Bench, engine: Engine, corpus: Path, budget: Budget) -> dict[str, Any]:
    """512 clients for the time asked, in slices, counting all that is not a 200."""
    slices: list[dict[str, Any]] = []
    queries = bench.folder / "queries.jsonl"
    left = float(bench.options.soak)
    if not queries.exists():
        over_http(bench, engine, corpus, "batch", budget, (1,))
    with served(bench, engine, corpus, "batch", budget) as address:
        while left > 0:
            seconds = min(60.0, left)
            slices.append(load(address, bench.options.soak_clients, seconds, queries, 2))
            left -= seconds
            memory = torch.cuda.memory_reserved() / 2**30 if bench.device.startswith("cuda") else None
            row = slices[-1]
            print(f"   {row['queries_per_s']:.1f}/s {row['statuses']} lost {row['lost']} gpu GiB {memory}", flush=True)
    bad = sum(
        row["lost"] + row["unfinished"] + sum(n for s, n in row["statuses"].items() if s != "200") for row in slices
    )
    answers = sum(row["answers"] for row in slices)
    print(f"   {answers} answers in {bench.options.soak:g} s, {bad} failures")
    return {"seconds": bench.options.soak, "answers": answers, "failures": bad}


UNLOCKED = """
import sys, threading, time
import faiss, numpy as np
device, count, dimension, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
if device.startswith("cuda"):
    resources = faiss.StandardGpuResources()
    config = faiss.GpuIndexFlatConfig(); config.useFloat16 = True
    index = faiss.GpuIndexFlatIP(resources, dimension, config)
else:
    index = faiss.IndexFlatIP(dimension)
generator = np.random.default_rng(0)
for start in range(0, count, 10000):
    index.add(generator.standard_normal((min(10000, count - start), dimension), np.float32))
query = generator.standard_normal((1, dimension), np.float32)
until = time.time() + seconds
def search():
    while time.time() < until:
        index.search(query, 100)
threads = [threading.Thread(target=search) for _ in range(64)]
[one.start() for one in threads]; [one.join() for one in threads]
print("survived")
"""


def unlocked(bench: Bench) -> dict[str, Any]:
    """64 threads on one index without a lock, in a child: what the original stack did."""
    count = min(bench.options.documents, 60_000)
    argv = [sys.executable, "-c", UNLOCKED, bench.device, str(count), str(bench.shape["hidden_size"])]
    done = subprocess.run(
        [*argv, str(bench.options.unlocked)], capture_output=True, text=True, timeout=240, check=False
    )
    last = (done.stderr or done.stdout).strip().splitlines()[-1:] or [""]
    print(f"   exit status {done.returncode}: {last[0][:240]}")
    return {"status": done.returncode, "last_line": last[0][:400]}


def main() -> int:
    """All parts in turn; exit status 1 when one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="a model of two small layers, for any machine")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--documents", type=int, default=None, help="vectors in the index (300,000; tiny 2,000)")
    parser.add_argument("--clients", default="1,8,64,512", help="closed-loop clients, by commas")
    parser.add_argument("--seconds", type=float, default=None, help="of each closed loop (12; tiny 1)")
    parser.add_argument("--warm", type=float, default=None, help="before each (3; tiny 0.5)")
    parser.add_argument("--mixed", type=int, default=None, help="queries in the comparison of orders (1,024; tiny 128)")
    parser.add_argument("--batch", type=int, default=128, help="batch of the padded orders")
    parser.add_argument("--runs", type=int, default=5, help="of each batch size")
    parser.add_argument("--soak", type=float, default=None, help="seconds of 512 clients (30; tiny 2)")
    parser.add_argument("--soak-clients", type=int, default=512)
    parser.add_argument("--unlocked", type=float, default=None, help="seconds of 64 unlocked threads (15; tiny 1)")
    parser.add_argument("--compile", action="store_true", help="also torch.compile, which costs a minute")
    parser.add_argument(
        "--only",
        default="",
        help="parts by commas: orders, sizes, direct, equality, lock_original, lock, batch, unlocked, soak",
    )
    options = parser.parse_args()
    defaults = {"documents": (300_000, 2000), "seconds": (12, 1), "warm": (3, 0.5), "mixed": (1024, 128),
                "soak": (30, 2), "unlocked": (15, 1)}  # fmt: skip
    for name, (whole, tiny) in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, tiny if options.tiny else whole)
    logging.basicConfig(level=logging.WARNING)
    sys.setswitchinterval(0.0005)
    set_threads(torch.get_num_threads())
    print(f"torch {torch.__version__}, faiss {faiss.__version__}, {options.device}"
          + (f" {torch.cuda.get_device_name()}" if options.device.startswith("cuda") else ""))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        return run(Bench(options, Path(folder)))


def run(bench: Bench) -> int:
    """The parts, on one model and one index."""
    options = bench.options
    bench.part("unlocked", lambda: unlocked(bench))  # before the GPU is full
    started = time.perf_counter()
    machine = measure_machine(bench)
    if bench.device.startswith("cuda"):
        torch.cuda.empty_cache()
    model = make_model(bench)
    index, corpus = make_index(bench)
    print(f"model and index: {time.perf_counter() - started:.1f} s; index {index.kind} on {index.device}")
    counts = [int(one) for one in options.clients.split(",")]
    bench.part("orders", lambda: orders(bench, model, machine))
    alone = Budget(queries=1, tokens=1, packed=False, max_age_s=1)
    plain = Engine(encoder(bench, model, packing=False), index, options_candidates(options))
    bench.part("lock_original", lambda: over_http(bench, plain, corpus, "lock", alone, counts))
    made = encoder(bench, model, compile=options.compile)
    engine = Engine(made, index, options_candidates(options))
    started = time.perf_counter()
    samples = [made.prepare(one) for one in bench.mixed(256)]
    measured = calibrate(engine, samples, limit_s=20, most_queries=256)
    points = ", ".join(f"{one.queries}: {one.queries_per_s:.0f}/s" for one in measured.points)
    print(f"\nbudget {measured.tokens} tokens, measured in {time.perf_counter() - started:.1f} s ({points})")
    started = time.perf_counter()
    budget = Budget(queries=256, tokens=made.warm_up(measured.tokens), packed=True, max_age_s=2)
    bench.results["budget_tokens"] = budget.tokens
    print(f"graphs up to {budget.tokens} tokens captured in {time.perf_counter() - started:.1f} s")
    bench.part("sizes", lambda: sizes(bench, engine, machine))
    bench.part("direct", lambda: direct(bench, engine))
    bench.part("equality", lambda: equality(bench, engine))
    bench.part("batch", lambda: over_http(bench, engine, corpus, "batch", budget, counts))
    bench.part("lock", lambda: over_http(bench, engine, corpus, "lock", budget, counts))
    bench.part("soak", lambda: soak(bench, engine, corpus, budget))
    summary(bench)
    bench.results["machine"] = {"flops": machine.flops, "bytes_per_s": machine.bytes_per_s}
    print(json.dumps(bench.results))
    return 1 if any(isinstance(one, dict) and "error" in one for one in bench.results.values()) else 0


def options_candidates(options: argparse.Namespace) -> int:
    """The service's default, or all that a tiny index has."""
    return min(1000, options.documents)


def summary(bench: Bench) -> None:
    """The ratios that the project holds itself to."""
    results = bench.results
    best = max(results["direct"].values()) if isinstance(results.get("direct"), dict) else None
    many = {
        name: results[name][-1]["queries_per_s"]
        for name in ("batch", "lock", "lock_original")
        if isinstance(results.get(name), list)
    }
    print("\n== ratios at the most clients")
    if "batch" in many and many.get("lock_original"):
        print(f"   batch / lock as the original encodes: {many['batch'] / many['lock_original']:.1f} (goal 25)")
    if "batch" in many and many.get("lock"):
        print(f"   batch / lock with this encoder:       {many['batch'] / many['lock']:.1f}")
    if "batch" in many and best:
        print(f"   batch / best direct batch:            {many['batch'] / best:.2f} (goal 0.95)")
    if isinstance(results.get("orders"), dict) and "packed_to_arrival" in results["orders"]:
        print(f"   packed / arrival-order batches:       {results['orders']['packed_to_arrival']:.2f} (goal 1.3)")


if __name__ == "__main__":
    sys.exit(main())
