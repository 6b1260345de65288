"""The log's timings against vLLM's own counters: the sums over a run must agree."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, cast

from podium_analysis.load.run_data import RunData
from podium_analysis.section import Count, Section

PAIRS: Final[dict[str, tuple[str, str, float]]] = {
    # name: (counter in samples.jsonl, SQL over the calls, factor from the counter's unit to the name's)
    "queue_ms": ("queue_s_sum", "sum(queue_ms)", 1000.0),
    "prefill_ms": ("prefill_s_sum", "sum(prefill_ms)", 1000.0),
    "decode_ms": ("decode_s_sum", "sum(decode_ms)", 1000.0),
    "requests": ("requests_total", "count(*)::DOUBLE", 1.0),
    "prompt_tokens": ("prompt_tokens_total", "sum(prompt_tokens)", 1.0),
    "cached_tokens": ("cached_tokens_total", "sum(cached_tokens)", 1.0),
    "completion_tokens": ("generation_tokens_total", "sum(completion_tokens)", 1.0),
}


@dataclass(frozen=True, slots=True)
class _Window:
    segment: int
    first_ms: float
    last_ms: float


class CheckedSum(Section, frozen=True):
    """One sum by the log and by the server. ratio: log / server, None where the server counted nothing."""

    name: str
    log: float | None
    server: float | None
    ratio: float | None


class ServerCheck(Section, frozen=True):
    """The log held against vLLM's counters. n_restarts: how often a counter began at zero again."""

    server: str | None
    n_calls: Count
    n_segments: Count
    n_restarts: Count
    sums: list[CheckedSum]


def server_check(run: RunData, samples: Iterable[dict[str, Any]]) -> ServerCheck | None:
    """Counter growth between the first and last sample of each segment, beside the sums of the calls written meanwhile.

    Calls are those of the orchestrator's server, experts on it included, that carry its metrics: an answer that nobody
    could read was served all the same. ratio: log / server, None where the server counted nothing. None altogether
    without samples of vLLM. A counter that fell (the server was restarted) counts from zero again, and n_restarts says
    how often.
    """
    grown = dict.fromkeys(PAIRS, 0.0)
    seen = dict.fromkeys(PAIRS, False)
    windows: dict[int, _Window] = {}
    last: dict[str, float] = {}
    segment = None
    n_restarts = 0
    for sample in samples:
        vllm = sample.get("vllm")
        at = sample.get("mono_ms")
        if not isinstance(vllm, dict) or not isinstance(at, int | float):
            continue
        counters = cast(dict[str, Any], vllm)
        number = int(sample.get("segment") or 1)
        if number != segment:
            segment, last = number, {}
            windows[number] = _Window(number, float(at), float(at))
        windows[number] = _Window(number, windows[number].first_ms, float(at))
        fell = False
        for name, (counter, _, factor) in PAIRS.items():
            value: Any = counters.get(counter)
            if not isinstance(value, int | float):
                continue
            seen[name] = True
            before = last.get(name)
            if before is not None:
                fell = fell or value < before
                grown[name] += factor * (value - before if value >= before else value)
            last[name] = float(value)
        n_restarts += fell
    if not windows:
        return None
    in_windows = " OR ".join(
        f"(coalesce(segment, 1) = {w.segment} AND mono_ms > {w.first_ms!r} AND mono_ms <= {w.last_ms!r})"
        for w in windows.values()
    )
    server = run.rows(
        "SELECT server, sum(n) AS total FROM cells "
        "WHERE type = 'llm_call' AND role = 'orchestrator' AND server IS NOT NULL GROUP BY server "
        "ORDER BY total DESC, server LIMIT 1"
    )
    address = str(server[0][0]) if server else None
    sums = ", ".join(sql for _, sql, _ in PAIRS.values())
    calls = "type = 'llm_call' AND (role = 'orchestrator' OR server = ?)"
    row = run.rows(
        f"SELECT count(queue_ms), {sums} FROM events WHERE {calls} AND queue_ms IS NOT NULL AND ({in_windows})",
        [address],
    )[0]
    return ServerCheck(
        server=address,
        n_calls=int(row[0]),
        n_segments=len(windows),
        n_restarts=n_restarts,
        sums=[
            CheckedSum(
                name=name,
                log=value,
                server=grown[name] if seen[name] else None,
                ratio=value / grown[name] if seen[name] and value is not None and grown[name] > 0 else None,
            )
            for (name, _), value in zip(PAIRS.items(), row[1:], strict=True)
        ],
    )
