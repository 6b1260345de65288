"""From settings to a service that is ready: everything that can be wrong is found here, before the port answers."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from podium_retrieval.answer_cache import AnswerCache
from podium_retrieval.batching.batch_worker import Owner
from podium_retrieval.batching.calibration import Calibration, blas_crossover, calibrate
from podium_retrieval.batching.engine import Engine
from podium_retrieval.batching.lock_worker import Lock
from podium_retrieval.batching.policy import Budget
from podium_retrieval.batching.preparation import Preparation
from podium_retrieval.batching.worker import Worker
from podium_retrieval.documents import Documents
from podium_retrieval.encoder import devices
from podium_retrieval.encoder.embedder import Embedder, Prepared
from podium_retrieval.encoder.load import load_embedder
from podium_retrieval.errors import StartError
from podium_retrieval.index.candidates import Filter, load_allowed_ids
from podium_retrieval.index.corpus import BadDocument, Corpus, text_of
from podium_retrieval.index.faiss_index import FaissIndex, IndexOptions, gpu_count, set_threads
from podium_retrieval.index.id_meaning import rows_of
from podium_retrieval.metrics import Metrics
from podium_retrieval.screen.mirrors import load_mirrors
from podium_retrieval.screen.screen import Screen, ScreenLimits
from podium_retrieval.service import SearchService
from podium_retrieval.settings import Settings
from podium_retrieval.top_up import TopUp
from podium_retrieval.web.search import WebLimits, WebSearch

_SAMPLES: Final = 256
_QUERY_CHARS: Final = 390
"""What the original stack's client cuts its queries to; samples for the measurement are as long."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What the service is made of."""

    settings: Settings
    corpus: Corpus
    embedder: Embedder
    index: FaissIndex
    engine: Engine
    budget: Budget
    calibration: Calibration | None
    allowed: dict[str, frozenset[str]] | None

    def announcement(self) -> dict[str, Any]:
        """The one JSON line of the start."""
        measured = self.calibration
        return {
            "event": "retrieval_start",
            "mode": self.settings.retrieval_mode,
            "model": self.embedder.model,
            "dimension": self.embedder.dimension,
            "device": self.embedder.device,
            "dtype": self.embedder.dtype,
            "packed": self.embedder.packed,
            "index": self.index.kind,
            "index_device": self.index.device,
            "n": self.index.size,
            "batch_tokens": self.budget.tokens if self.settings.retrieval_mode == "batch" else None,
            "batch_queries": self.budget.queries if self.settings.retrieval_mode == "batch" else 1,
            "blas_from": self.index.blas_from,
            "web": self.settings.tavily_api_key is not None,
            "measured_s": None if measured is None else round(measured.seconds, 2),
            "measured": None
            if measured is None
            else [
                {"queries": point.queries, "tokens": point.tokens, "queries_per_s": round(point.queries_per_s, 1)}
                for point in measured.points
            ],
        }


def make_ready(settings: Settings) -> Ready:
    """Load, check and measure.

    Raises:
        StartError: one line that names the setting, file or device and what to do.
    """
    folder = index_folder(settings)
    allowed = None if settings.example_ids_file is None else load_allowed_ids(settings.example_ids_file)
    threads = settings.retrieval_threads or devices.cores()
    set_threads(threads)
    corpus = Corpus.open(folder / "eval.jsonl")
    options = index_options(settings)
    index = FaissIndex.load(folder / "eval.index", options)
    if len(corpus) != index.size:
        raise StartError(
            f"{folder}/eval.jsonl has {len(corpus)} lines and eval.index {index.size} vectors: "
            "they do not belong together; build both again with podium-retrieval build-index"
        )
    embedder = load_embedder(settings)
    if embedder.dimension != index.dimension:
        raise StartError(
            f"EMBEDDING_MODEL={settings.embedding_model} gives vectors of {embedder.dimension} numbers, "
            f"{folder}/eval.index holds {index.dimension}: it was built with another model"
        )
    index.rows = rows_of(index, corpus, embedder)
    index = index.to_device(options)
    if index.has_blas_choice:
        index.blas_from = blas_crossover(index.dimension)
    engine = Engine(embedder, index, settings.retrieval_candidates)
    samples = _samples(corpus, embedder)
    calibration = None
    if settings.retrieval_mode == "batch" and settings.retrieval_batch_tokens is None:
        calibration = calibrate(
            engine,
            samples,
            limit_s=settings.retrieval_calibration_s,
            most_queries=settings.retrieval_batch_queries,
        )
    else:
        engine.run(samples[:1])  # warm before /health says so
    tokens = settings.retrieval_batch_tokens or (calibration.tokens if calibration else 1)
    room = embedder.warm_up(tokens)
    budget = Budget(
        queries=settings.retrieval_batch_queries,
        tokens=settings.retrieval_batch_tokens or room,
        packed=embedder.packed,
        max_age_s=settings.retrieval_max_age_ms / 1e3,
    )
    return Ready(settings, corpus, embedder, index, engine, budget, calibration, allowed)


def make_service(ready: Ready, metrics: Metrics) -> SearchService:
    """The service over what is ready; its worker starts with the application."""
    settings = ready.settings
    worker: Worker
    if settings.retrieval_mode == "lock":
        worker = Lock(
            ready.engine,
            queue_limit=settings.most_waiting,
            watchdog_s=settings.retrieval_watchdog_s,
            observer=metrics,
        )
    else:
        worker = Owner(
            ready.engine,
            ready.budget,
            queue_limit=settings.most_waiting,
            watchdog_s=settings.retrieval_watchdog_s,
            wait_s=settings.retrieval_wait_ms / 1e3,
            observer=metrics,
        )
    web = _web(settings)
    return SearchService(
        worker,
        Preparation(ready.embedder, settings.retrieval_tokenizer_threads),
        Documents(
            ready.corpus,
            Filter(settings.retrieval_min_score, settings.retrieval_min_content_chars),
            ready.allowed,
        ),
        AnswerCache(settings.retrieval_cache_mib << 20),
        None if web is None else TopUp(web, settings.retrieval_web_below, metrics),
        metrics,
        settings.retrieval_deadline_s,
    )


def index_folder(settings: Settings) -> Path:
    """INDEX_DIR, with both files in it.

    Raises:
        StartError: it is not set, not there, or lacks a file.
    """
    folder = settings.index_dir
    if folder is None:
        raise StartError("INDEX_DIR is not set: name the folder that holds eval.index and eval.jsonl")
    if not folder.is_dir():
        raise StartError(f"INDEX_DIR={folder} is no folder")
    for name in ("eval.index", "eval.jsonl"):
        if not (folder / name).is_file():
            raise StartError(f"INDEX_DIR={folder} lacks {name}: build it with podium-retrieval build-index")
    return folder


def index_options(settings: Settings) -> IndexOptions:
    """Where and how the index is held."""
    return IndexOptions(
        device=devices.resolve_device(settings.retrieval_index_device, "RETRIEVAL_INDEX_DEVICE", gpus=gpu_count()),
        memory_map=settings.retrieval_memory_map,
        nprobe=settings.retrieval_nprobe,
        storage=settings.retrieval_gpu_storage,
        headroom_bytes=settings.retrieval_gpu_headroom_mib << 20,
        cuvs=settings.retrieval_cuvs,
    )


def _samples(corpus: Corpus, embedder: Embedder) -> list[Prepared]:
    """Texts of the corpus spread over it, of query length, for measurement and warm-up."""
    count = min(_SAMPLES, len(corpus))
    prepared: list[Prepared] = []
    for number in range(count):
        try:
            document = corpus.document(number * len(corpus) // count)
        except BadDocument as error:
            raise StartError(str(error)) from error
        length = _QUERY_CHARS * (number % 8 + 1) // 8  # queries are of all lengths up to the limit
        prepared.append(embedder.prepare((text_of(document) or "")[:length] or "empty"))
    return prepared


def _web(settings: Settings) -> WebSearch | None:
    """The web fallback, or None without a key. Must be called where the event loop will run."""
    if settings.tavily_api_key is None:
        return None
    cache = settings.retrieval_web_cache_dir or (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "podium" / "web"
    )
    limits = WebLimits(
        results=settings.retrieval_web_results,
        timeout_s=settings.retrieval_web_timeout_s,
        concurrency=settings.retrieval_web_concurrency,
        max_bytes=settings.retrieval_web_max_bytes,
        page_chars=settings.retrieval_web_page_chars,
    )
    try:
        return WebSearch(
            settings.tavily_base_url,
            settings.tavily_api_key.get_secret_value(),
            limits,
            cache,
            settings.retrieval_web_cache_mib << 20,
            screen=_screen(settings),
        )
    except OSError as error:
        raise StartError(f"RETRIEVAL_WEB_CACHE_DIR={cache} cannot be used: {error.strerror or error}") from error


def _screen(settings: Settings) -> Screen | None:
    if not settings.retrieval_screen:
        return None
    limits = ScreenLimits(
        settings.retrieval_screen_query, settings.retrieval_screen_query_words, settings.retrieval_screen_share
    )
    return Screen(load_mirrors(settings.retrieval_screen_mirrors), limits)
