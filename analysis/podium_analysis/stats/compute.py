"""Computes stats.json, the statistics that figures, report and gate read."""

import inspect
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta
from podium_contracts.files import write_atomically

from podium_analysis.load.dataset import DatasetFacts, dataset_facts
from podium_analysis.load.run_data import RunData
from podium_analysis.metrics import intervals as bootstrap
from podium_analysis.metrics.added_tools import added_metrics
from podium_analysis.metrics.definitions import METRICS
from podium_analysis.metrics.sections import MetricStatistics
from podium_analysis.metrics.summaries import IN_MEMORY, metric_statistics
from podium_analysis.scoring.answer_models import AnswerModel, answer_models
from podium_analysis.scoring.benchmark.score import BenchmarkScore
from podium_analysis.section import Section
from podium_analysis.stats.choices import Choices, choice_statistics
from podium_analysis.stats.context_latency import ContextLatency, context_latency
from podium_analysis.stats.costs import Costs, costs
from podium_analysis.stats.counted import counted_events, part_sums
from podium_analysis.stats.machine.gpus import Gpus, gpu_statistics
from podium_analysis.stats.overview import Log, Scores, TaskCounts, Throughput, overview
from podium_analysis.stats.server_check import ServerCheck, server_check
from podium_analysis.stats.slowest import N_SLOWEST, SlowTask, slowest_tasks
from podium_analysis.stats.time_accounting import (
    Accounting,
    TimeByPart,
    accounting_statistics,
    accounts,
    time_statistics,
)
from podium_analysis.stats.timeline import Timeline, timeline
from podium_analysis.stats.usage import Errors, Tokens, error_statistics, token_statistics

STATS_VERSION: Final = 1
"""Of stats.json and its schema (stats_schema.json). Raised when a field changes its meaning or goes."""


class Method(Section, frozen=True):
    """Methods of estimation."""

    percentiles: str = "linear interpolation between order statistics"
    intervals: str = bootstrap.METHOD
    interval_of_mean: str = "95%, normal theory, from 30 values on"
    sd: str = "sample standard deviation (n - 1)"


class Stats(Section, frozen=True, kw_only=True):
    """Units are in the names (_ms, _tokens, _usd); shares are 0 to 1, accuracies percent; null is not known."""

    stats_version: Literal[1] = STATS_VERSION
    run_id: str
    generated_ts: str
    podium_version: str
    dataset: DatasetFacts
    log: Log
    run: Throughput
    tasks: TaskCounts
    scores: Scores | None
    benchmark: BenchmarkScore
    costs: Costs
    method: Method = Method()
    metrics: dict[str, MetricStatistics]
    time: TimeByPart
    accounting: Accounting
    slowest_tasks: Annotated[list[SlowTask], Meta(max_length=N_SLOWEST)]
    choices: Choices
    tokens: Tokens
    errors: Errors
    server_check: ServerCheck | None
    timeline: Timeline
    gpus: Gpus | None
    context_latency: ContextLatency
    answer_models: list[AnswerModel]


def compute_stats(run: RunData, *, bins: int = 10, in_memory: int = IN_MEMORY) -> Stats:
    """All sections of stats.json; docs/analysis.md describes each.

    bins: of each histogram. in_memory: sources with more rows are sorted by DuckDB instead of in arrays; the results
    are the same.
    """
    # DuckDB and numpy let go of the interpreter's lock, so two threads share the cores: the longest parts first, then
    # whoever is free takes the next.
    with ThreadPoolExecutor(2, "statistics") as pool:
        metrics = pool.submit(metric_statistics, run, (*METRICS, *added_metrics(run)), bins=bins, in_memory=in_memory)
        counted = pool.submit(_counted, run)
        at_large = pool.submit(overview, run)
        cost = pool.submit(costs, run)
        tokens = pool.submit(token_statistics, run)
        errors = pool.submit(error_statistics, run)
        check = pool.submit(lambda: server_check(run, run.samples()))
        load = pool.submit(lambda: timeline(run, run.samples()))
        gpus = pool.submit(lambda: gpu_statistics(run, run.samples()))
        context = pool.submit(context_latency, run)
        models = pool.submit(answer_models, run)
    return Stats(
        run_id=run.run_id,
        generated_ts=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        podium_version=_version(),
        dataset=dataset_facts(run.manifest),
        **msgspec.structs.asdict(at_large.result()),
        **counted.result(),
        costs=cost.result(),
        metrics=metrics.result(),
        tokens=tokens.result(),
        errors=errors.result(),
        server_check=check.result(),
        timeline=load.result(),
        gpus=gpus.result(),
        context_latency=context.result(),
        answer_models=models.result(),
    )


def _counted(run: RunData) -> dict[str, Any]:
    """The sections computed from the counted events alone."""
    counted = counted_events(run)
    sums = part_sums(run, counted)
    found = accounts(run, sums)
    return {
        "time": time_statistics(run, sums, found),
        "accounting": accounting_statistics(found),
        "slowest_tasks": slowest_tasks(run, counted, found),
        "choices": choice_statistics(run, counted),
    }


def write_stats(stats: Stats, path: Path) -> None:
    """Write stats.json; readers see the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.format(msgspec.json.encode(stats), indent=2))


def stats_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of stats.json, made from Stats; stats_schema.json in this package holds it."""
    (_, parts) = msgspec.json.schema_components([Stats], ref_template="#/$defs/{name}")
    for part in parts.values():
        if "description" in part:  # Python 3.13 takes a docstring's indentation away, those before it keep it
            part["description"] = inspect.cleandoc(part["description"])
        if "properties" in part:  # msgspec writes every field, also one that has a default
            part["required"] = sorted(part["properties"])
            for field in part["properties"].values():
                field.pop("default", None)
    whole = parts.pop("Stats")
    return (
        {"$schema": "https://json-schema.org/draft/2020-12/schema"}
        | whole
        | {"title": "Podium stats.json", "$defs": parts}
    )


def _version() -> str:
    """Of the installed package; a source tree on PYTHONPATH has none."""
    try:
        return version("podium-analysis")
    except PackageNotFoundError:
        return "source tree"
