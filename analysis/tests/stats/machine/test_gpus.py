"""GPUs by recorded samples: means, energy, and None for whatever a driver did not tell."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from podium_analysis.figures.timeline import timeline_figure
from podium_analysis.load.run_data import RunData, load_run
from podium_analysis.stats.compute import compute_stats
from podium_analysis.stats.machine.gpus import gpu_statistics
from podium_contracts.events import Event, TaskComplete, TaskStart

MakeLog = Callable[[list[Event | bytes]], Path]


def done(task: str, *, correct: bool) -> TaskComplete:
    names: dict[str, Any] = {"run_id": "r", "task_id": task, "status": "done", "ending": "answered"}
    return TaskComplete(**names, correct=correct, rounds=1, duration_ms=1.0)


@pytest.fixture
def run(make_log: MakeLog) -> Any:
    # written at 0, 1, 2, 3 s: two tasks in 3 s, one of them right
    events: list[Event | bytes] = [
        TaskStart(run_id="r", task_id="a"), TaskStart(run_id="r", task_id="b"),
        done("a", correct=True), done("b", correct=False),
    ]  # fmt: skip
    with load_run(make_log(events)) as loaded:
        yield loaded


def sample(ms: float, *gpus: dict[str, Any]) -> dict[str, Any]:
    return {"mono_ms": ms, "segment": 1, "gpus": list(gpus)} if gpus else {"mono_ms": ms, "segment": 1}


def gpu(index: int, **values: float) -> dict[str, Any]:
    return {"index": index, "uuid": f"GPU-{index}", "name": "H", "memory_total_mib": 80000.0, **values}


def test_energy_is_the_integral_of_power(run: RunData) -> None:
    watts = (100.0, 300.0, 300.0, 100.0)
    found = gpu_statistics(
        run, [sample(k * 1000.0, gpu(0, power_w=w, util_pct=50), gpu(1, power_w=10.0)) for k, w in enumerate(watts)]
    )
    assert found is not None
    assert [one.joules_estimate for one in found.gpus] == pytest.approx([200 + 300 + 200, 30])
    assert found.covered == pytest.approx(1)
    assert found.joules_estimate == pytest.approx(730)
    assert found.joules_per_task_estimate == pytest.approx(365)
    assert found.joules_per_correct_estimate == pytest.approx(730)
    assert (found.gpus[0].mean_util_pct, found.gpus[1].mean_util_pct) == (50, None)
    assert found.gpus[0].power_w == pytest.approx([200, 300, 100])
    assert found.gpus[1].util_pct == [None] * 3


def test_a_gpu_without_power_leaves_energy_unknown(run: RunData) -> None:
    found = gpu_statistics(run, [sample(k * 1000.0, gpu(0, power_w=100.0), gpu(1, util_pct=0)) for k in range(4)])
    assert found is not None
    assert found.gpus[0].joules_estimate == pytest.approx(300)
    assert found.joules_estimate is found.joules_per_task_estimate is None
    assert found.gpus[1].mean_util_pct == 0
    assert found.gpus[1].joules_estimate is None


def test_half_a_run_sampled_gives_no_energy_a_task(run: RunData) -> None:
    found = gpu_statistics(run, [sample(0, gpu(0, power_w=100.0)), sample(1000, gpu(0, power_w=100.0))])
    assert found is not None
    assert found.covered == pytest.approx(1 / 3)
    assert found.joules_estimate == pytest.approx(100)
    assert found.joules_per_task_estimate is None


def test_a_machine_without_gpus_has_no_section(run: RunData) -> None:
    assert gpu_statistics(run, [sample(0), {"mono_ms": 1000.0, "gpus": "torn"}]) is None
    assert compute_stats(run).gpus is None


def test_the_load_figure_shows_use_and_power(run: RunData) -> None:
    lines = [sample(k * 1000.0, gpu(0, power_w=100.0, util_pct=80)) for k in range(4)]
    run.samples = lambda: iter(lines)  # type: ignore[method-assign]
    texts = [text.get_text() for axes in timeline_figure(compute_stats(run)).axes for text in axes.texts]
    assert {"GPU 0 use, %", "GPU 0 power, W"} <= set(texts)
    titles = [text.get_text() for text in timeline_figure(compute_stats(run)).texts]
    assert any("about 150 J a task, 300 J a correct answer (estimate from sampled power)" in one for one in titles)
