"""Figures are drawn for every kind of run, and say in their text what stats.json says."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from msgspec.structs import replace
from PIL import Image
from podium_analysis.figures import distributions
from podium_analysis.figures.colours import PART_COLOURS
from podium_analysis.figures.draw import DISTRIBUTIONS, INDEX, OVERVIEWS, draw_figures
from podium_analysis.figures.histograms import histogram_figure
from podium_analysis.figures.png import write_png
from podium_analysis.figures.style import amount, percent, round_ticks, save, ticks
from podium_analysis.figures.values import RANKS, Spread, Values, drawn_values
from podium_analysis.load.run_data import load_run
from podium_analysis.metrics.definitions import METRICS
from podium_analysis.metrics.histograms import linear_histogram, log_histogram
from podium_analysis.metrics.metric import Unit
from podium_analysis.metrics.ranked import RankedArray
from podium_analysis.metrics.sections import Histograms, MetricStatistics
from podium_analysis.metrics.summaries import summarise
from podium_analysis.stats.choices import Choices
from podium_analysis.stats.compute import compute_stats
from podium_contracts.events import Event, RunStart

START = RunStart(
    run_id="r",
    protocol="hle",
    concurrency=2,
    max_rounds=9,
    n_tasks=3,
    n_finished=0,
    dataset_sha256="",
    orchestrator_model="o",
)
PNG = b"\x89PNG\r\n\x1a\n"


def texts(svg: Path) -> list[str]:
    root = ET.parse(svg).getroot()
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def metric(values: list[float], unit: Unit = "ms", n_other: int = 0) -> MetricStatistics:
    ranked = RankedArray(np.array(values, dtype=float))
    linear, log = linear_histogram(ranked, 10), log_histogram(ranked, 10)
    return MetricStatistics(
        **msgspec.structs.asdict(summarise(ranked)),
        title="Something", what="", unit=unit, of="calls with status ok", n_other=n_other,
        histograms=Histograms(linear, log), by_status=[], by_tool_model=[], by_step=[],
    )  # fmt: skip


def drawn(values: list[float], scale: str, tmp_path: Path, **options: Any) -> list[str]:
    figure = histogram_figure(metric(values, **options), "log" if scale == "log" else "linear")
    save(figure, tmp_path, "one", ("png", "svg"))
    assert (tmp_path / "one.png").read_bytes().startswith(PNG)
    return texts(tmp_path / "one.svg")


def test_bars_carry_count_and_percent_and_marks_their_values(tmp_path: Path) -> None:
    shown = drawn([1.0] * 30 + [10.0] * 10, "linear", tmp_path, n_other=4)
    assert {"30", "75%", "10", "25%"} <= set(shown)
    assert {"median 1.00 ms", "mean 3.25 ms"} <= set(shown)
    assert not [text for text in shown if re.match(r"p\d", text)]
    assert any("n = 40 calls with status ok" in text and "4 of other status not shown" in text for text in shown)


@pytest.mark.parametrize(("n", "mark"), [(49, None), (50, "p90"), (100, "p95"), (499, "p95"), (500, "p99")])
def test_the_highest_percentile_that_n_carries_is_drawn(n: int, mark: str | None, tmp_path: Path) -> None:
    shown = drawn([float(x) for x in range(n)], "linear", tmp_path)
    assert [text.split()[0] for text in shown if re.match(r"p\d+ ", text)] == ([mark] if mark else [])


@pytest.mark.parametrize(
    ("low", "high", "scale", "expected"),
    [
        (3.7, 41.2, "linear", [10, 20, 30, 40]),
        (0.0, 1000.0, "linear", [0, 200, 400, 600, 800, 1000]),
        (3.0, 470.0, "log", [5, 10, 20, 50, 100, 200]),
        (0.02, 90000.0, "log", [0.1, 1, 10, 100, 1000, 10000]),
        (105.0, 118.0, "log", [105.0, 107.5, 110.0, 112.5, 115.0, 117.5]),
    ],
)
def test_ticks_are_round(low: float, high: float, scale: Any, expected: list[float]) -> None:
    assert round_ticks(low, high, scale) == pytest.approx(expected)


def test_zeros_stand_beside_a_log_scale_and_carry_the_median(tmp_path: Path) -> None:
    shown = drawn([0.0] * 60 + list(np.geomspace(1, 1000, 40)), "log", tmp_path)
    assert {"= 0", "60", "60%", "median 0 ms"} <= set(shown)


def test_negative_values_stand_beside_a_log_scale(tmp_path: Path) -> None:
    shown = drawn([-5.0, -1.0, 0.0, 3.0, 9.0], "log", tmp_path)
    assert {"< 0", "= 0"} <= set(shown)


@pytest.mark.parametrize("scale", ["linear", "log"])
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "no values"),
        ([7.0], "7.00 ms (every value)"),
        ([7.0] * 9, "7.00 ms (every value)"),
        ([np.nan], "no values"),
    ],
)
def test_empty_single_and_constant_metrics_are_honest(
    values: list[float], said: str, scale: str, tmp_path: Path
) -> None:
    shown = drawn(values, scale, tmp_path)
    assert said in shown
    if values == [np.nan]:
        assert any("1 missing" in text for text in shown)


def test_nothing_but_zeros(tmp_path: Path) -> None:
    assert {"= 0", "4", "100%"} <= set(drawn([0.0] * 4, "log", tmp_path))
    assert "0 ms (every value)" in drawn([0.0] * 4, "linear", tmp_path)


@pytest.mark.parametrize("values", [[1e-9, 1e12], [5.0, 5.0 + 1e-9], list(range(100_000)), [1e15, 1e15 + 0.125]])
def test_extreme_ranges_draw(values: list[float], tmp_path: Path) -> None:
    for scale in ("linear", "log"):
        drawn(values, scale, tmp_path, unit="tokens")


def test_every_figure_of_a_run_is_listed_and_on_disk(generated_run: Path, tmp_path: Path) -> None:
    with load_run(generated_run) as run:
        stats, values = compute_stats(run), drawn_values(run)
    made = draw_figures(stats, values, tmp_path, formats=("svg",), workers=2)
    listed = orjson.loads((tmp_path / INDEX).read_bytes())
    assert [figure.name for figure in made] == [figure["name"] for figure in listed]
    expected = (
        {f"{metric.name}_{scale}" for metric in METRICS for scale in ("linear", "log")}
        | set(OVERVIEWS)
        | set(DISTRIBUTIONS)
    )
    assert {figure.name for figure in made} == expected
    for figure in made:
        assert any(text.startswith(figure.title) for text in texts(tmp_path / figure.files["svg"]))
    time = texts(tmp_path / "time.svg")
    for name, label in stats.time.labels.items():
        assert (label in time) == bool(stats.time.overall_ms[name])
    # drawn again with fewer metrics as PNG: what is no longer made is gone, what is not ours stays
    (tmp_path / "mine.svg").write_text("<svg/>")
    few = {name: stats.metrics[name] for name in ("search_ms", "enhance_reasoning_ms", "answer_ms")}
    again = draw_figures(replace(stats, metrics=few), values, tmp_path, formats=("png",), workers=1)
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == ["mine.svg"]
    assert sorted(path.stem for path in tmp_path.glob("*.png")) == sorted(figure.name for figure in again)


@pytest.mark.parametrize("events", [[], [START]])
def test_figures_of_an_empty_run_say_that_there_is_nothing(
    make_log: Callable[[list[Event | bytes]], Path], events: list[Event | bytes], tmp_path: Path
) -> None:
    with load_run(make_log(events)) as run:
        stats, values = compute_stats(run), drawn_values(run)
    figures = {name: draw(stats) for name, (_, _, draw) in OVERVIEWS.items()}
    figures |= {
        name: getattr(distributions, draw)(stats.choices, values) for name, (_, _, draw) in DISTRIBUTIONS.items()
    }
    for name, figure in figures.items():
        save(figure, tmp_path, name, ("svg",))
        assert any(re.search(r"\bno\b", text) for text in texts(tmp_path / f"{name}.svg"))


def test_every_part_of_a_task_has_a_colour(generated_run: Path) -> None:
    with load_run(generated_run) as run:
        assert set(compute_stats(run).time.labels) == set(PART_COLOURS)


def test_amounts_read_well() -> None:
    assert [amount(x, "ms") for x in (0.0, 0.01234, 5.0, 999.0, 1234.0, 61_000.0, 700_000.0, 36_000_000.0, None)] == [
        "0 ms", "12.3 µs", "5.00 ms", "999 ms", "1.23 s", "1 min 01 s", "11 min 40 s", "10 h 00 min", "–",
    ]  # fmt: skip
    assert [amount(x, "usd") for x in (0.0123, 12.3, -0.5)] == ["$0.0123", "$12.3", "-$0.5"]
    assert amount(1234567, "tokens") == "1,234,567"
    assert [percent(x) for x in (0.0, 0.0001, 0.012, 0.5, 0.9999, 1.0)] == [
        "0.0%",
        "<0.1%",
        "1.2%",
        "50%",
        ">99.9%",
        "100%",
    ]
    assert ticks([1000.0, 1000.5, 1001.0]) == ["1,000", "1,000.5", "1,001"]


def test_values_are_of_successful_calls_at_even_ranks(generated_run: Path) -> None:
    with load_run(generated_run) as run:
        values, stats = drawn_values(run), compute_stats(run)
    calls = stats.metrics["orchestrator_call_ms"]
    (orchestrator,) = [spread for (tool, _), spread in values.call_ms.items() if tool == "orchestrator"]
    assert orchestrator.n == calls.n
    assert len(orchestrator.values) == RANKS
    assert list(orchestrator.values) == sorted(orchestrator.values)
    assert orchestrator.values[RANKS // 2] == pytest.approx(calls.p50, rel=0.02)
    by_tool = sum(spread.n for (tool, _), spread in values.call_ms.items() if tool == "search")
    assert by_tool == stats.metrics["search_ms"].n
    assert sum(spread.n for spread in values.prompt_tokens.values()) == stats.metrics["orchestrator_prompt_tokens"].n


@pytest.mark.parametrize("ms", [[0.0, 0.0], [5.0], [0.0, 1e9], [1e-9, 1e-9]])
def test_extreme_values_draw(ms: list[float], tmp_path: Path) -> None:
    values = Values({("search", "m"): Spread(len(ms), tuple(ms))}, {1: Spread(1, (0.0,))})
    for name, (_, _, draw) in DISTRIBUTIONS.items():
        save(getattr(distributions, draw)(Choices(0, [], [], [], [], []), values), tmp_path, name, ("svg",))


def test_only_the_drawing_processes_load_seaborn() -> None:
    program = "import sys, podium_analysis.figures.draw, podium_analysis.pipeline; sys.exit('seaborn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_seaborn_loads_without_scipy_stats_which_stays_importable() -> None:
    program = (
        "import sys, podium_analysis.figures.style as style; style.use_theme(); "
        "assert 'seaborn' in sys.modules and 'scipy.stats' not in sys.modules; import scipy.stats, scipy.cluster"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def test_a_written_png_holds_the_pixels_and_the_resolution(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (37, 53, 4), dtype=np.uint8)
    write_png(tmp_path / "a.png", pixels, 160)
    with Image.open(tmp_path / "a.png") as image:
        image.verify()
    with Image.open(tmp_path / "a.png") as image:
        assert (image.mode, [round(value) for value in image.info["dpi"]]) == ("RGB", [160, 160])
        assert np.array_equal(np.asarray(image), pixels[:, :, :3])
