"""All figures of a run, drawn from stats.json and values of the log by a few processes; figures.json lists them.

figures.json: [{"name", "title", "group", "scale", "files": {"png": …, "svg": …}}], in the order a reader wants them;
the files lie beside it. Groups: overview, tools, orchestrator, retrieval, task. scale: linear or log of a histogram,
whose two figures follow each other; null of all others.
"""

import importlib
import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Final

import orjson
from matplotlib.figure import Figure
from msgspec.structs import replace
from podium_contracts.files import write_atomically

from podium_analysis.figures.context import context_latency_figure
from podium_analysis.figures.histograms import histogram_figure
from podium_analysis.figures.score import score_figure
from podium_analysis.figures.style import Format, save, use_theme
from podium_analysis.figures.time_breakdown import time_by_step_figure, time_figure
from podium_analysis.figures.timeline import timeline_figure
from podium_analysis.figures.tools import (
    latency_metrics,
    tool_latency_figure,
    tool_mix_figure,
    tools_by_step_figure,
)
from podium_analysis.figures.values import Values
from podium_analysis.metrics.sections import MetricStatistics
from podium_analysis.stats.choices import Choices
from podium_analysis.stats.compute import Stats

INDEX: Final = "figures.json"

OVERVIEWS: Final[dict[str, tuple[str, str, Callable[[Stats], Figure]]]] = {
    # name: (title, group, how it is drawn)
    "time": ("Where the time goes", "overview", time_figure),
    "time_by_step": ("Where a turn's time goes, by step", "overview", time_by_step_figure),
    "timeline": ("Load over the run", "overview", timeline_figure),
    "score_cost_latency": ("Accuracy, cost and latency by answering model", "overview", score_figure),
    "tool_mix": ("Tools and models chosen", "tools", tool_mix_figure),
    "tools_by_step": ("Tools by step", "tools", tools_by_step_figure),
    "tool_latency": ("Latency by tool and model", "tools", tool_latency_figure),
    "context_latency": ("Latency against context length", "orchestrator", context_latency_figure),
}
DISTRIBUTIONS: Final = {
    # name: (title, group, function of figures/distributions.py)
    "latency_curves": ("Latency of calls, cumulative", "overview", "latency_curves_figure"),
    "transitions": ("Tool transitions", "tools", "transitions_figure"),
    "latency_violins": ("Latency of calls by tool and model", "tools", "latency_violins_figure"),
    "context_by_turn": ("Context by turn", "orchestrator", "context_by_turn_figure"),
}
FAMILIES: Final = ("orchestrator", "retrieval", "task")
"""A metric whose name begins so is of that group; all others are of group tools."""
MAXIMUM_WORKERS: Final = 8


@dataclass(frozen=True, slots=True)
class FigureFiles:
    """One figure on disk: format -> file name beside figures.json."""

    name: str
    title: str
    group: str
    scale: str | None
    files: dict[str, str]


class Drawing:
    """Figures being drawn by processes of their own, so that the caller can do other work until `finish`.

    The processes are forked where there is fork, so start before making threads that hold locks.
    """

    def __init__(
        self,
        stats: Stats,
        values: Values,
        out_dir: Path,
        *,
        formats: Sequence[Format] = ("png", "svg"),
        workers: int | None = None,
    ) -> None:
        out_dir.mkdir(parents=True, exist_ok=True)
        self._out_dir = out_dir
        jobs = _jobs(stats, values)
        n = max(1, min(workers or os.cpu_count() or 1, MAXIMUM_WORKERS, len(jobs)))
        # What needs seaborn is drawn by one process, the histograms by the others: only the one loads it.
        self._pools = [ProcessPoolExecutor(k, mp_context=_context(), initializer=_step_back) for k in (1, n - 1) if k]
        self._made = [
            self._pools[0 if job.scale is None else -1].submit(_draw, job, out_dir, tuple(formats)) for job in jobs
        ]

    def finish(self) -> list[FigureFiles]:
        """Wait for all figures and list them in figures.json.

        Raises:
            BrokenProcessPool: a drawing process was killed.
        """
        try:
            made = [future.result() for future in self._made]
        finally:
            for pool in self._pools:
                pool.shutdown(cancel_futures=True)
        _drop_stale(self._out_dir, made)
        index = orjson.dumps([asdict(figure) for figure in made], option=orjson.OPT_INDENT_2)
        write_atomically(self._out_dir / INDEX, index)
        return made


def draw_figures(
    stats: Stats,
    values: Values,
    out_dir: Path,
    *,
    formats: Sequence[Format] = ("png", "svg"),
    workers: int | None = None,
) -> list[FigureFiles]:
    """Draw every figure into out_dir and list them in figures.json there.

    stats: what compute_stats returned. values: drawn_values' of the same run.
    workers: None is one a core, at most MAXIMUM_WORKERS.
    """
    return Drawing(stats, values, out_dir, formats=formats, workers=workers).finish()


@dataclass(frozen=True, slots=True)
class _Job:
    """A figure to draw, of what the process that draws it is handed.

    data: of a histogram (scale is linear or log) its metric, of OVERVIEWS stats.json's sections, of DISTRIBUTIONS the
    choices, beside `values`.
    """

    name: str
    title: str
    group: str
    scale: str | None
    data: Stats | MetricStatistics | Choices
    values: Values | None = None


def _jobs(stats: Stats, values: Values) -> list[_Job]:
    latencies = {name: stats.metrics[name] for name in latency_metrics(stats.metrics)}
    slim = replace(stats, metrics=latencies, slowest_tasks=[])
    jobs = [
        _Job(name, title, group, None, slim)
        for name, (title, group, _) in OVERVIEWS.items()
    ]  # fmt: skip
    jobs += [_Job(name, title, group, None, stats.choices, values) for name, (title, group, _) in DISTRIBUTIONS.items()]
    for name, metric in stats.metrics.items():
        family = name.split("_")[0]
        group = family if family in FAMILIES else "tools"
        small = replace(metric, by_status=[], by_tool_model=[], by_step=[])
        jobs += [
            _Job(f"{name}_{scale}", f"{metric.title} ({scale} bins)", group, scale, small)
            for scale in ("linear", "log")
        ]
    return jobs


def _draw(job: _Job, folder: Path, formats: tuple[Format, ...]) -> FigureFiles:
    if job.scale is None:
        use_theme()
    if job.values is not None:
        made: Any = importlib.import_module("podium_analysis.figures.distributions")
        figure = getattr(made, DISTRIBUTIONS[job.name][2])(job.data, job.values)
    elif isinstance(job.data, Stats):
        figure = OVERVIEWS[job.name][2](job.data)
    elif isinstance(job.data, MetricStatistics):
        figure = histogram_figure(job.data, "log" if job.scale == "log" else "linear")
    else:
        raise TypeError(f"{job.name}: nothing is drawn of {type(job.data).__name__}")
    files = save(figure, folder, job.name, formats)
    return FigureFiles(job.name, job.title, job.group, job.scale, dict(zip(formats, files, strict=True)))


def _drop_stale(out_dir: Path, made: Sequence[FigureFiles]) -> None:
    """Figures of an earlier analysis with other metrics or formats would be taken for this one's."""
    try:
        before = orjson.loads((out_dir / INDEX).read_bytes())
        files = {file for figure in before for file in figure["files"].values()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
    for name in files - {file for figure in made for file in figure.files.values()}:
        (out_dir / Path(name).name).unlink(missing_ok=True)


def _step_back() -> None:
    """The caller goes first: what it does meanwhile runs in one process, and the page waits for it."""
    if hasattr(os, "nice"):
        os.nice(10)


def _context() -> BaseContext:
    """Fork where there is fork: matplotlib is loaded already, a new interpreter would load it again."""
    methods = multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("fork" if "fork" in methods else methods[0])
