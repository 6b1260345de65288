"""Load over the run: tasks in flight, output and time to first token, vLLM's queue and KV cache, retrieval's, GPUs'."""

# pyright: reportUnknownMemberType=false

from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from podium_analysis.figures.colours import CYCLE, GRID, MUTED
from podium_analysis.figures.style import axis_unit, count, empty, new_figure, place
from podium_analysis.quantities import number
from podium_analysis.stats.compute import Stats
from podium_analysis.stats.machine.gpus import Gpus

Lines = dict[str, tuple[str, str, str]]
"""Name in stats.json: (label, colour, line style)."""
PANELS: Final[tuple[Lines, ...]] = (
    {"in_flight": ("tasks in flight", CYCLE[0], "-")},
    {"output_tokens_per_s": ("orchestrator's output, tokens/s", CYCLE[0], "-")},
    {"ttft_ms": ("time to first token (queue and prefill), ms", CYCLE[3], "-")},
    {"vllm_running": ("vLLM running", CYCLE[0], "-"), "vllm_waiting": ("vLLM waiting", CYCLE[5], "--")},
    {"vllm_kv_use": ("KV cache in use", CYCLE[2], "-")},
    {
        "retrieval_queue": ("retrieval queue", CYCLE[5], "--"),
        "retrieval_batch_size": ("retrieval batch size", CYCLE[0], "-"),
    },
)
GPU_PANELS: Final = {"util_pct": "use, %", "power_w": "power, W"}
_STYLES: Final = ("-", "--", ":", "-.")


def timeline_figure(stats: Stats) -> Figure:
    """Panels over one time axis; a panel without samples is labelled so."""
    found = stats.timeline
    title = "Load over the run"
    times = np.array(found.t_ms, dtype=float)
    if not times.size:
        figure = new_figure(title)
        empty(figure, "the log spans no time")
        return figure
    segments = stats.log.segments
    concurrency = stats.run.concurrency
    parts = [f"CONCURRENCY {count(concurrency)}"] if concurrency else []
    if len(segments) > 1:
        parts.append(f"{len(segments)} segments end to end, pauses left out (vertical lines)")
    shown: list[tuple[Lines, dict[str, list[Any]]]] = [
        (lines, {name: getattr(found, name) for name in lines}) for lines in PANELS
    ]
    if stats.gpus is not None:
        shown += [_gpu_panel(stats.gpus, name) for name in GPU_PANELS]
        parts += _energy(stats.gpus)
    height = 0.45 + 1.04 * len(shown) + 0.39
    figure = new_figure(title, " · ".join(parts), height=height)
    factor, unit = axis_unit(0.0, float(times[-1]), "ms")
    x = times * factor
    panels = [
        place(figure, left=0.62, bottom=0.45 + 1.04 * k, right=0.12, top=height - 0.45 - 1.04 * k - 0.82)
        for k in reversed(range(len(shown)))
    ]
    for axes, (lines, values) in zip(panels, shown, strict=True):
        _lines(axes, x, values, lines)
        if "vllm_kv_use" in lines:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for axes in panels:
        axes.set_xlim(0.0, float(x[-1]))
        for segment in segments[1:]:
            axes.axvline(segment.offset_ms * factor, color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)))
        axes.tick_params(labelbottom=axes is panels[-1])
    panels[-1].set_xlabel(unit)
    return figure


def _gpu_panel(found: Gpus, name: str) -> tuple[Lines, dict[str, list[Any]]]:
    lines: Lines = {}
    for k, gpu in enumerate(found.gpus):
        label = f"GPU {gpu.index}" if k else f"GPU {gpu.index} {GPU_PANELS[name]}"
        lines[str(k)] = (label, CYCLE[k % len(CYCLE)], _STYLES[k // len(CYCLE) % len(_STYLES)])
    return lines, {str(k): getattr(gpu, name) for k, gpu in enumerate(found.gpus)}


def _energy(found: Gpus) -> list[str]:
    """What the title adds; nothing where it is not known."""
    each = ((found.joules_per_task_estimate, "task"), (found.joules_per_correct_estimate, "correct answer"))
    known = [f"{number(joules)} J a {what}" for joules, what in each if joules is not None]
    return [f"about {', '.join(known)} (estimate from sampled power)"] if known else []


def _lines(axes: Axes, x: np.ndarray[Any, Any], found: dict[str, list[Any]], lines: Lines) -> None:
    top = 0.0
    labels: list[tuple[str, str, str]] = []
    for name, (label, colour, style) in lines.items():
        values = np.array([np.nan if v is None else v for v in found[name]], dtype=float)
        known = ~np.isnan(values)
        if known.any():
            axes.plot(x[known], values[known], color=colour, linestyle=style, linewidth=1.2)
            labels.append((label, colour, style))
            top = max(top, float(values[known].max()))
    axes.grid(axis="y", color=GRID, linewidth=0.6)
    axes.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10], integer=top >= 3))
    axes.set_ylim(0.0, top * 1.12 if top > 0 else 1.0)
    if not labels:
        names = " and ".join(label for label, _, _ in lines.values())
        axes.text(
            0.5,
            0.5,
            f"no samples of {names}",
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=7.5,
            color=MUTED,
        )
    at = 0.0
    for label, colour, style in labels:
        axes.plot(
            [at, at + 0.035],
            [1.1, 1.1],
            color=colour,
            linestyle=style,
            linewidth=1.6,
            transform=axes.transAxes,
            clip_on=False,
        )
        axes.text(at + 0.045, 1.1, label, transform=axes.transAxes, va="center", fontsize=7.5)
        at += 0.08 + 0.0165 * len(label)
