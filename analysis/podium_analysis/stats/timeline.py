"""Load over time: tasks in flight and calls by the log, vLLM's and retrieval's own gauges, in at most 600 points."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
from msgspec import Meta

from podium_analysis.load.run_data import RunData
from podium_analysis.section import Section

POINTS: Final = 600
GAUGES: Final[dict[str, tuple[str, str]]] = {
    # name in stats.json: (object in a sample, key in it)
    "vllm_running": ("vllm", "running"),
    "vllm_waiting": ("vllm", "waiting"),
    "vllm_kv_use": ("vllm", "kv_use"),
    "retrieval_queue": ("retrieval", "queue"),
    "retrieval_batch_size": ("retrieval", "batch_size"),
}
CALLS: Final = ("ttft_ms", "output_tokens_per_s")


Column = Annotated[list[float], Meta(max_length=POINTS)]
GaugeColumn = Annotated[list[float | None], Meta(max_length=POINTS)]


class Timeline(Section, frozen=True):
    """Columns of equal length over the run's time, segments end to end.

    t_ms: the end of each stretch. in_flight: mean number of tasks under way in it, by task_start and task_complete; at
    a segment's end whatever is under way stops. ttft_ms: mean of queue and prefill of the orchestrator's calls that
    ended in it without an error; output_tokens_per_s: their completion tokens over its length, 0 where no call ended;
    both None where the server reported none. Gauges: mean of the stretch's samples, None where there is none.
    """

    t_ms: Column
    in_flight: Column
    ttft_ms: GaugeColumn
    output_tokens_per_s: GaugeColumn
    vllm_running: GaugeColumn
    vllm_waiting: GaugeColumn
    vllm_kv_use: GaugeColumn
    retrieval_queue: GaugeColumn
    retrieval_batch_size: GaugeColumn


def timeline(run: RunData, samples: Iterable[dict[str, Any]]) -> Timeline:
    """Load over time from the log and samples.jsonl; without a column's values where the log has no length."""
    wall = run.wall_ms
    if wall <= 0:
        nothing: dict[str, list[Any]] = {name: [] for name in Timeline.__struct_fields__}
        return Timeline(**nothing)
    edges = stretches(wall)
    offsets = {segment.n: segment.offset_ms for segment in run.segments}
    points: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in GAUGES}
    for sample in samples:
        at, offset = sample.get("mono_ms"), offsets.get(int(sample.get("segment") or 1))
        if not isinstance(at, int | float) or offset is None:
            continue
        for name, (group, key) in GAUGES.items():
            values = sample.get(group)
            value: Any = values.get(key) if isinstance(values, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if isinstance(value, int | float):
                points[name][0].append(offset + at)
                points[name][1].append(float(value))
    gauges = {name: means(np.array(times), np.array(values), edges) for name, (times, values) in points.items()}
    return Timeline(edges[1:].tolist(), _in_flight(run, edges).tolist(), **_calls(run, edges), **gauges)


def stretches(wall_ms: float) -> npt.NDArray[np.float64]:
    """The edges, in ms, of the stretches that the columns are of."""
    n = int(min(POINTS, max(1, np.ceil(wall_ms / 1000.0))))
    return np.linspace(0.0, wall_ms, n + 1)


def _in_flight(run: RunData, edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean over each stretch of the number of tasks under way: the growth of the integral of starts less ends.

    A task that a person put back ends there, and starts again.
    """
    starts: list[npt.NDArray[np.float64]] = []
    ends: list[npt.NDArray[np.float64]] = []
    for segment in run.segments:
        at = {
            kind: run.arrays(
                f"SELECT mono_ms AS t FROM events WHERE type = '{kind}' AND coalesce(segment, 1) = {segment.n}"
            )["t"]
            for kind in ("task_start", "task_complete")
        }
        starts.append(at["task_start"] + segment.offset_ms)
        ends.append(at["task_complete"] + segment.offset_ms)
        put_back = run.arrays(
            "SELECT mono_ms AS t FROM events WHERE type = 'control' AND act = 'requeue' AND step IS NOT NULL "
            f"AND coalesce(segment, 1) = {segment.n}"
        )["t"]
        ends.append(put_back + segment.offset_ms)
        left = at["task_start"].size - at["task_complete"].size - put_back.size
        if left > 0:
            ends.append(np.full(left, segment.offset_ms + segment.length_ms))
    return (_integral(np.concatenate(starts), edges) - _integral(np.concatenate(ends), edges)) / np.diff(edges)


def _calls(run: RunData, edges: npt.NDArray[np.float64]) -> dict[str, list[float | None]]:
    """The columns of CALLS."""
    n, width = len(edges) - 1, float(edges[1] - edges[0])
    first: list[float | None] = [None] * n
    calls, tokens, known = np.zeros(n), np.zeros(n), np.zeros(n)
    offsets = " ".join(f"WHEN {segment.n} THEN {segment.offset_ms}" for segment in run.segments)
    for place, ttft, n_calls, n_known, total in run.rows(
        f"""
        SELECT
            greatest(0, least({n - 1}, ceil((mono_ms + CASE coalesce(segment, 1) {offsets} END) / {width}) - 1)) AS k,
            avg(queue_ms + prefill_ms), count(*), count(completion_tokens), sum(completion_tokens)
        FROM events WHERE type = 'llm_call' AND role = 'orchestrator' AND error_type IS NULL
        GROUP BY k HAVING k IS NOT NULL
        """
    ):
        first[int(place)] = ttft
        calls[int(place)], known[int(place)], tokens[int(place)] = n_calls, n_known, total or 0
    any_reported = known.any()
    rates = tokens / (width / 1000.0)
    return {
        "ttft_ms": first,
        "output_tokens_per_s": [
            float(rate) if any_reported and (k or not c) else None
            for rate, k, c in zip(rates, known, calls, strict=True)
        ],
    }


def _integral(times: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of the count of `times` so far, over each stretch between edges."""
    times = np.sort(times)
    sums = np.concatenate(([0.0], np.cumsum(times)))
    count = np.searchsorted(times, edges, side="right")
    return np.diff(count * edges - sums[count])


def means(
    times: npt.NDArray[np.float64], values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]
) -> list[float | None]:
    """Mean of the values in each stretch between edges; None where there is none."""
    n = len(edges) - 1
    if not times.size:
        return [None] * n
    place = np.clip(np.searchsorted(edges, times, side="left") - 1, 0, n - 1)
    counts = np.bincount(place, minlength=n)
    sums = np.bincount(place, weights=values, minlength=n)
    return [float(s / c) if c else None for s, c in zip(sums, counts, strict=True)]
