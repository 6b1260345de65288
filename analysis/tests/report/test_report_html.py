"""report.html says what stats.json says, names what a reader must know, and holds only what may be on a page."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from podium_analysis.figures.colours import DARK, PART_COLOURS
from podium_analysis.figures.draw import draw_figures
from podium_analysis.figures.values import drawn_values
from podium_analysis.load.run_data import load_run
from podium_analysis.pipeline import summary_lines
from podium_analysis.report.embed import dark_colour, figure_groups, with_dark_colours
from podium_analysis.report.run_facts import run_facts
from podium_analysis.report.summary import summarise
from podium_analysis.report.tables import statistics_tables
from podium_analysis.report.write import Report, write_report
from podium_analysis.stats.compute import compute_stats
from podium_contracts.records import REJUDGE_LOG

MakeRun = Callable[..., Path]


def make_report(run: Path, **options: Any) -> tuple[Report, str, dict[str, Any]]:
    with load_run(run) as data:
        stats = compute_stats(data)
        made = write_report(data, stats, **options)
    return made, made.path.read_text(), stats


def visible(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", re.sub(r"(?s)<(script|style)\b.*?</\1>", "", html)))


def test_the_score_has_interval_and_protocol(make_run: MakeRun) -> None:
    _, html, stats = make_report(make_run(n=60))
    scores = stats.scores
    text = visible(html)
    assert f"{scores.accuracy:.1f} %" in text
    low, high = scores.wilson
    half = f"±{scores.half_width:.1f} points"
    assert f"{scores.n_right} of 60, {half}; 95 % interval {low:.1f} to {high:.1f} (Wilson)" in text
    assert "Protocol hle; counted as wrong:" in text
    counts = {"unanswered": "unanswered", "ungraded": "ungraded", "error": "errors", "skipped": "skipped"}
    for name, word in counts.items():
        assert (f"{getattr(scores, f'n_{name}')} {word}" in text) == bool(getattr(scores, f"n_{name}"))


def test_the_official_calibration_says_what_it_needs(make_run: MakeRun) -> None:
    _, html, _ = make_report(make_run(n=60))
    assert "official n/a (needs 100); corrected" in visible(html)
    assert "order of equal confidences" not in visible(html)


def test_the_official_calibration_says_what_it_leaves_undefined(make_run: MakeRun) -> None:
    _, html, stats = make_report(make_run(n=400))
    official = stats.scores.calibration_official.value
    assert official is not None
    assert f"official {official:.1f} points; corrected" in visible(html)
    assert "order of equal confidences undefined" in visible(html)


def test_every_metric_has_unrounded_numbers_in_a_table(make_run: MakeRun) -> None:
    _, html, stats = make_report(make_run(n=20))
    for name, metric in stats.metrics.items():
        assert f">{name}<" in html
        if metric.mean is not None:
            assert f'data-sort="{metric.mean!r}"' in html


def test_rows_are_as_long_as_their_headings(make_run: MakeRun) -> None:
    with load_run(make_run(n=20)) as data:
        for table in statistics_tables(compute_stats(data)):
            assert table.rows
            assert all(len(row) == len(table.columns) for row in table.rows), table.title


def test_a_cost_that_is_not_known_is_not_zero(make_run: MakeRun) -> None:
    run = make_run(n=10)
    _, html, _ = make_report(run)
    assert "≥ $" in visible(html)
    assert "calls have no known price" in visible(html)
    log = run / "events.jsonl"
    log.write_text(re.sub(r'"cost_usd": [0-9.e-]+', '"cost_usd": null', log.read_text()))
    _, html, _ = make_report(run)
    assert "Cost unknown" in visible(html)
    assert "$0.00" not in visible(html)


def test_a_running_or_damaged_run_is_marked(make_run: MakeRun) -> None:
    run = make_run(n=10)
    lines = (run / "events.jsonl").read_text().splitlines()
    (run / "events.jsonl").write_text("\n".join([*lines[: len(lines) // 2], "{torn"]))
    text = visible(make_report(run)[1])
    assert "The log has no end" in text
    assert "of 10 tasks have not ended; the score counts them as wrong" in text
    assert "1 lines of the log were left out" in text


def test_a_run_without_anything_finished_still_has_a_page(make_run: MakeRun) -> None:
    run = make_run(n=5)
    first = (run / "events.jsonl").read_text().splitlines()[0]
    (run / "events.jsonl").write_text(first + "\n")
    for path in (run / "tasks").glob("*.json"):
        path.unlink()
    made, html, _ = make_report(run)
    assert made.n_tasks == 0
    assert "No task has ended yet" in visible(html)


def test_a_run_without_run_json_still_has_a_page(make_run: MakeRun) -> None:
    run = make_run(n=3)
    (run / "run.json").unlink()
    assert "protocol hle" in visible(make_report(run)[1])


def test_accuracy_stands_by_what_is_known_of_the_questions(make_run: MakeRun) -> None:
    _, html, stats = make_report(make_run(n=40))
    for name in ("category", "subject", "answer_type", "has_image"):
        assert f'id="accuracy-{name}"' in html
    first = stats.scores.groups.category[0]
    low, high = first.wilson
    cells = f"{first.value} {first.n} {first.n_right} {first.n_unanswered} {first.n_ungraded}"
    assert f"{cells} {first.accuracy:.1f} {low:.1f} to {high:.1f}" in visible(html).replace("&#34;", '"')


def test_judges_stand_side_by_side_after_a_rejudge(make_run: MakeRun) -> None:
    run = make_run(n=30)
    for path in (run / "tasks").glob("*.json"):
        record = json.loads(path.read_text())
        for judgement in list(record["judgements"]):
            record["judgements"].append(judgement | {"model": "second-judge", "correct": True})
        path.write_text(json.dumps(record))
    (run / REJUDGE_LOG).write_text("")
    _, html, stats = make_report(run)
    assert len(stats.scores.judges) == 2
    text = visible(html)
    assert "The score uses the run&#39;s own judge; other judges below." in text
    assert "vllm/second-judge" in text
    assert f"{stats.scores.judges[1].score.accuracy:.1f}" in text
    assert 'id="judges"' not in make_report(make_run("once", n=3))[1]


def test_epochs_show_their_spread(make_run: MakeRun) -> None:
    _, html, stats = make_report(make_run(n=12, epochs=3))
    text = visible(html)
    assert "3 epochs: mean" in text
    assert "pass@3" in text
    low, high = stats.scores.clustered
    clustered = f"{stats.scores.n_right} of 36; 95 % interval {low:.1f} to {high:.1f} (Wilson, clustered by question)"
    assert clustered in text
    assert f"95 % interval {low:.1f} to {high:.1f} (clustered by question)" in "".join(summary_lines(stats))
    for group in stats.scores.groups.category:
        assert "{:.1f} to {:.1f}".format(*group.clustered) in text
    assert "±" not in text


def test_nothing_on_the_page_points_outside(make_run: MakeRun) -> None:
    run = make_run(n=5)
    with load_run(run) as data:
        stats = compute_stats(data)
        draw_figures(stats, drawn_values(data), run / "analysis", formats=("svg",), workers=1)
        html = write_report(data, stats).path.read_text()
    assert html.count("<img") == len(json.loads((run / "analysis" / "figures.json").read_text()))
    addresses = re.findall(r"""(?:src|href|action|data|poster|srcset)=["']([^"']*)""", html)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "Content-Security-Policy" in html
    assert "default-src &#39;none&#39;" in html
    assert "unsafe" not in html.split("<style>")[0]


def test_a_large_svg_is_shown_as_its_png(tmp_path: Path) -> None:
    (tmp_path / "a.svg").write_text("<svg></svg>")
    (tmp_path / "a.png").write_bytes(b"png")
    entry = {"name": "a", "title": "A", "group": "overview", "scale": None, "files": {"svg": "a.svg", "png": "a.png"}}
    (tmp_path / "figures.json").write_text(json.dumps([entry]))
    assert figure_groups(tmp_path)[0].figures[0].src.startswith("data:image/svg+xml;")
    (tmp_path / "a.svg").write_text("<svg>" + " " * 200_000)
    assert figure_groups(tmp_path)[0].figures[0].src.startswith("data:image/png;")


@pytest.mark.parametrize(
    "content", ["{", '[{"name": "a"}]', '[{"title": "A", "group": "g", "scale": null, "files": {"png": "gone.png"}}]']
)
def test_an_unusable_figure_list_names_the_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "figures.json").write_text(content)
    with pytest.raises(ValueError, match="run `podium-analysis report` again"):
        figure_groups(tmp_path)


def test_a_figure_has_colours_of_its_own_for_dark_readers() -> None:
    svg = with_dark_colours(
        '<svg width="9pt"><path style="fill: #ffffff; stroke: #222222"/><use href="#abcdef"/></svg>'
    )
    assert '<path style="fill: var(--c0); stroke: var(--c1)"/><use href="#abcdef"/>' in svg
    assert svg.startswith('<svg width="9pt"><style>svg{--c0:#ffffff;--c1:#222222;}@media screen and')
    assert "--c0:#14171b;--c1:#e4e7eb;" in svg


@pytest.mark.parametrize("colour", sorted(PART_COLOURS.values()))
def test_every_part_of_the_time_has_a_dark_colour(colour: str) -> None:
    assert colour in DARK


def test_a_colour_without_a_dark_one_swaps_its_lightness() -> None:
    assert [dark_colour(colour) for colour in ("#08306b", "#f7fbff")] == ["#9dc1f8", "#001830"]


def test_the_served_model_and_the_zone_are_named(make_run: MakeRun) -> None:
    manifest = {"orchestrator": {"model": "orchestrator", "checkpoint": "nvidia/Nemotron-Orchestrator-8B"}}
    text = visible(make_report(make_run(n=2, manifest=manifest))[1])
    assert "orchestrator: nvidia/Nemotron-Orchestrator-8B, served as orchestrator" in text
    assert "2026-11-22 09:00 UTC" in text


@pytest.mark.parametrize(("n", "tail"), [(20, "max"), (70, "p90"), (130, "p95")])
def test_a_task_takes_no_percentile_that_n_does_not_carry(make_run: MakeRun, n: int, tail: str) -> None:
    with load_run(make_run(n=n, words=2)) as data:
        facts = {fact.label: fact for fact in summarise({}, compute_stats(data), [], {}).facts}
    assert f"; {tail} " in facts["A task takes"].detail


def test_settings_that_differ_from_their_defaults_come_first(make_run: MakeRun) -> None:
    manifest = {
        "changed_settings": ["concurrency", "added_keys"],
        "secrets": {"openai_api_key": "1f2e"},
        "settings": {"concurrency": 8, "max_rounds": 50, "added_keys": {"X_API_KEY": "**********"}},
    }
    facts = run_facts(json.loads((make_run(n=2, manifest=manifest) / "run.json").read_text()))
    assert facts.first[-2:] == [("CONCURRENCY", "8"), ("ADDED_KEYS", "**********")]
    assert ("settings.max_rounds", "50") in facts.rest
    assert not [name for name, _ in (*facts.first, *facts.rest) if "1f2e" in name or name.startswith("secrets")]
    assert not {name for name, _ in facts.first} & {name for name, _ in facts.rest}


def test_the_page_links_to_the_trace_beside_it(make_run: MakeRun) -> None:
    assert '<a href="trace.json">' in make_report(make_run(n=2), trace="trace.json")[1]
    assert "trace.json" not in make_report(make_run("none", n=2))[1].split("<script>")[0]


def test_no_figures_is_a_page_without_them(make_run: MakeRun) -> None:
    assert 'id="figures"' not in make_report(make_run(n=2))[1]
