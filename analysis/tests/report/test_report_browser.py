"""report.html in a real Chromium, from disk: opens, sorts, searches, unfolds, prints, and runs nothing it was fed."""

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright import sync_api
from podium_analysis.figures.draw import draw_figures
from podium_analysis.figures.values import drawn_values
from podium_analysis.load.run_data import load_run
from podium_analysis.stats.compute import compute_stats

pytestmark = pytest.mark.browser

MakeRun = Callable[..., Path]
Report = Callable[..., Path]
OpenPage = Callable[..., Any]
HOSTILE = (
    "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=2><svg onload=window.pwned=3>"
    "\"' onmouseover=window.pwned=4 <!--<script>{{7*7}}&lt;b&gt;\u2028\u202e\x00"
)


def ids(page: Any) -> list[str]:
    return page.locator("#rows .toggle bdi").all_text_contents()


def test_it_opens_from_disk_without_any_request(make_run: MakeRun, open_page: OpenPage, report: Report) -> None:
    opened = open_page(report(make_run(n=30)))
    summary = opened.page.inner_text("#summary")
    for words in (
        "Accuracy",
        "95 % interval",
        "Protocol hle",
        "Wall time",
        "Throughput",
        "no known price",
        "Unexplained",
    ):
        assert words in summary
    assert opened.page.inner_text("#count") == "30 tasks"
    assert all(url.startswith(("file:", "data:")) for url in opened.requests)
    assert len([url for url in opened.requests if url.startswith("file:")]) == 1
    assert opened.problems == []


def test_tasks_sort_by_any_column_and_say_so(make_run: MakeRun, open_page: OpenPage, report: Report) -> None:
    run = make_run(n=40)
    opened = open_page(report(run))
    records = [json.loads(path.read_text()) for path in (run / "tasks").glob("*.json")]
    slowest = sorted(records, key=lambda r: -r["duration_ms"])
    head = opened.page.locator('#tasks [data-sort-by="time"]')
    assert head.get_attribute("aria-sort") == "none"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert ids(opened.page)[:3] == [r["task_id"] for r in slowest[:3]]
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert ids(opened.page)[:3] == [r["task_id"] for r in slowest[-1:-4:-1]]
    opened.page.locator('#tasks [data-sort-by="id"] button').press("Enter")
    assert head.get_attribute("aria-sort") == "none"
    assert ids(opened.page)[0] == "q0000"
    assert opened.problems == []


def test_statistics_sort_as_numbers_with_what_is_missing_last(
    make_run: MakeRun, open_page: OpenPage, report: Report
) -> None:
    opened = open_page(report(make_run(n=10)))
    page = opened.page
    header = page.locator("#metrics thead th", has_text="mean").first
    column = header.evaluate("th => th.cellIndex")
    for order in ("descending", "ascending"):
        header.locator("button").click()
        assert header.get_attribute("aria-sort") == order
        raw = page.locator("#metrics tbody tr").evaluate_all(f"rows => rows.map(r => r.cells[{column}].dataset.sort)")
        values = [float(x) for x in raw if x]
        assert values == sorted(values, reverse=order == "descending")
        assert all(not x for x in raw[len(values) :])
    assert opened.problems == []


def test_search_and_filters_narrow_the_list(make_run: MakeRun, open_page: OpenPage, report: Report) -> None:
    run = make_run(n=60)
    opened = open_page(report(run))
    page = opened.page
    records = [json.loads(path.read_text()) for path in (run / "tasks").glob("*.json")]
    page.keyboard.press("/")
    page.keyboard.type("q0042")
    sync_api.expect(page.locator("#count")).to_have_text("1 of 60 tasks")
    assert ids(page) == ["q0042"]
    page.click("#clear")
    assert page.inner_text("#count") == "60 tasks"
    right = sum(r["correct"] is True for r in records)
    page.select_option("#f-outcome", "right")
    assert page.inner_text("#count") == f"{right} of 60 tasks"
    both = sum(
        r["correct"] is True and r["category"] == "Math" and any(t["tool"] == "search" for t in r["turns"])
        for r in records
    )
    page.select_option("#f-category", "Math")
    page.select_option("#f-tool", "search")
    assert page.inner_text("#count") == f"{both} of 60 tasks"
    page.fill("#search", "nothing has this")
    sync_api.expect(page.locator("#count")).to_have_text("0 of 60 tasks")
    assert ids(page) == []
    said = page.inner_text("#nothing")
    assert "No task of outcome right, tool search, category Math has “nothing” and “has” and “this”" in said
    assert "not searched" in said
    page.click("#clear")
    assert page.locator("#nothing").is_hidden()
    assert opened.problems == []


def test_a_task_unfolds_by_keyboard_and_shows_its_whole_trajectory(
    make_run: MakeRun, open_page: OpenPage, report: Report
) -> None:
    run = make_run(n=30)
    records = sorted((json.loads(p.read_text()) for p in (run / "tasks").glob("*.json")), key=lambda r: r["eid"])
    at = next(
        n
        for n, r in enumerate(records)
        if {t["tool"] for t in r["turns"]} == {"search", "enhance_reasoning", "answer"} and r["correct"] is not None
    )
    opened = open_page(report(run))
    page = opened.page
    page.locator("#rows .toggle").first.focus()
    for _ in range(at):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_selector(".task.open .turn")
    focused = page.evaluate("document.activeElement.textContent")
    assert focused == records[at]["task_id"]
    assert page.evaluate("document.activeElement.getAttribute('aria-expanded')") == "true"
    text = page.inner_text(".task.open .body")
    for words in (
        "answer given",
        "gold answer",
        "print(sum(range(10)))",
        "45",
        "Passage 0",
        "Judgement",
        "extracted answer",
    ):
        assert words in text
    assert page.locator(".task.open article.turn").count() == len(records[at]["turns"]) + 1
    label = page.get_attribute(".task.open .segments", "aria-label")
    assert "prefill" in label
    assert "decode" in label
    page.keyboard.press("Enter")
    assert page.locator(".task.open").count() == 0
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.textContent") == "q0029"
    assert opened.problems == []


def test_a_task_has_an_address(make_run: MakeRun, open_page: OpenPage, report: Report) -> None:
    opened = open_page(report(make_run(n=300)))
    opened.page.locator("#slowest tbody a").first.click()
    opened.page.wait_for_selector(".task.open .turn")
    assert opened.page.inner_text(".task.open .toggle") == opened.page.inner_text("#slowest tbody a >> nth=0")
    assert opened.page.locator(".task.open .line").evaluate("e => e.getBoundingClientRect().top < innerHeight")
    assert opened.problems == []


def test_long_runs_keep_their_trajectories_beside_the_page(
    make_run: MakeRun, open_page: OpenPage, report: Report
) -> None:
    target = report(make_run(n=12), inline_bytes=0)
    chunks = sorted((target.parent / "trajectories").glob("*.js"))
    assert [path.name for path in chunks] == ["0000.js"]
    opened = open_page(target)
    opened.page.locator("#rows .toggle").first.click()
    opened.page.wait_for_selector(".task.open .turn")
    assert opened.problems == []
    chunks[0].unlink()
    opened = open_page(target)
    opened.page.locator("#rows .toggle").first.click()
    opened.page.wait_for_selector(".task.open .bad")
    assert "keep the folder trajectories beside this page" in opened.page.inner_text(".task.open .body")


def test_a_task_without_a_record_says_so(make_run: MakeRun, open_page: OpenPage, report: Report) -> None:
    run = make_run(n=3)
    for path in (run / "tasks").glob("*.json"):
        path.unlink()
    opened = open_page(report(run))
    assert opened.page.inner_text("#count") == "3 tasks"
    opened.page.locator("#rows .toggle").first.click()
    opened.page.wait_for_selector(".task.open .bad")
    assert "no record" in opened.page.inner_text(".task.open .body")


@pytest.mark.parametrize("inline_bytes", [8_000_000, 0])
def test_nothing_that_a_model_or_a_dataset_wrote_runs(
    make_run: MakeRun, open_page: OpenPage, report: Report, inline_bytes: int
) -> None:
    run = make_run(n=25, hostile=HOSTILE)
    first = next(iter(sorted((run / "tasks").glob("*.json"))))
    record = json.loads(first.read_text()) | {"task_id": HOSTILE, "error_type": HOSTILE, "__proto__": {"pwned": 5}}
    record["turns"][0] |= {
        "tool": HOSTILE,
        "alias": HOSTILE,
        "arguments": {HOSTILE: HOSTILE, "__proto__": {"pwned": 6}},
    }
    first.write_text(json.dumps(record))
    log = run / "events.jsonl"
    log.write_text(log.read_text().replace('"expert-one"', json.dumps(HOSTILE)))
    manifest = json.loads((run / "run.json").read_text())
    manifest |= {"run_id": HOSTILE, "created_ts": HOSTILE, "experts": {HOSTILE: HOSTILE}}
    manifest["dataset"]["path"] = HOSTILE
    (run / "run.json").write_text(json.dumps(manifest))
    opened = open_page(report(run, inline_bytes=inline_bytes))
    page = opened.page
    for n in range(6):
        page.locator("#rows .toggle").nth(n).click()
        page.wait_for_selector(f".task.open >> nth={n} >> :is(.turn, .body .bad) >> nth=0")
    for fold in page.locator(".task.open summary").all():
        fold.click()
    page.mouse.move(400, 400)
    assert page.evaluate("window.pwned ?? Object.prototype.pwned ?? ({}).pwned ?? null") is None
    assert page.locator("#rows img, #rows script, #rows svg, #rows a").count() == 0
    assert page.evaluate("document.scripts.length - document.querySelectorAll('script[type]').length") == (
        1 if inline_bytes else 2
    )
    assert "onerror=window.pwned=2" in page.inner_text(".task.open >> nth=0")
    assert "{{7*7}}" in page.inner_text("h1")
    assert opened.problems == []


def test_the_policy_stops_scripts_even_where_escaping_would_fail(
    make_run: MakeRun, open_page: OpenPage, report: Report
) -> None:
    target = report(make_run(n=2))
    html = target.read_text()
    target.write_text(
        html.replace("<main", "<img src=x onerror='window.pwned=1'><script>window.pwned=2</script><main", 1)
    )
    opened = open_page(target)
    assert opened.page.evaluate("window.pwned ?? null") is None
    assert any("Content Security Policy" in problem for problem in opened.problems)


def test_2500_tasks_open_in_two_seconds_and_scroll(make_run: MakeRun, open_page: OpenPage, report: Report) -> None:
    """The best of five, so that a busy machine does not fail it; the size is the page's own, figures apart."""
    target = report(make_run(n=2500, concurrency=64, words=50))
    assert target.stat().st_size < 20_000_000
    assert len(list((target.parent / "trajectories").glob("*.js"))) > 0
    times: list[float] = []
    for _ in range(5):
        opened = open_page(target)
        times.append(opened.page.evaluate("performance.now()"))
        if times[-1] < 2000:
            break
    print(f"2,500 tasks: {target.stat().st_size / 1e6:.1f} MB, ready after {min(times):.0f} ms")
    assert min(times) < 2000
    assert opened.page.locator("#rows .task").count() < 60
    opened.page.locator("#rows .toggle").first.focus()
    opened.page.keyboard.press("End")
    assert opened.page.evaluate("document.activeElement.textContent") == "q2499"
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_selector(".task.open .turn")
    assert opened.problems == []


def pixels(png: bytes) -> Any:
    from matplotlib import image

    return np.asarray(image.imread(io.BytesIO(png), format="png"))[..., :3]


@pytest.mark.parametrize(("name", "width", "height"), [("desktop", 1280, 900), ("phone", 390, 844)])
def test_light_and_dark_are_drawn_and_nothing_overflows(
    make_run: MakeRun, open_page: OpenPage, report: Report, tmp_path: Path, name: str, width: int, height: int
) -> None:
    target = report(make_run(n=20))
    brightness: dict[str, float] = {}
    for scheme in ("light", "dark"):
        opened = open_page(target, viewport={"width": width, "height": height}, color_scheme=scheme)
        page = opened.page
        top = page.screenshot(path=str(tmp_path / f"{scheme}-{name}.png"))
        brightness[scheme] = float(np.median(pixels(top)))
        assert pixels(top).std() > 0.02, "the page is blank"
        page.locator("#rows .toggle").nth(1).click()
        page.wait_for_selector(".task.open .turn")
        page.screenshot(path=str(tmp_path / f"{scheme}-{name}-task.png"))
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert opened.problems == []
    assert brightness["light"] > 0.95
    assert brightness["dark"] < 0.15


def test_twenty_tasks_print_on_at_most_ten_pages(
    make_run: MakeRun, open_page: OpenPage, report: Report, tmp_path: Path
) -> None:
    run = make_run(n=20)
    with load_run(run) as data:
        draw_figures(compute_stats(data), drawn_values(data), run / "analysis")
    pdf = open_page(report(run)).page.pdf(format="A4")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 10


def test_tables_fit_the_page_and_long_ids_are_cut(make_run: MakeRun, open_page: OpenPage, report: Report) -> None:
    page = open_page(report(make_run(n=80))).page
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    wide = page.locator(".scroll").evaluate_all(
        "s => s.filter(e => e.scrollWidth > e.clientWidth).map(e => e.ariaLabel)"
    )
    assert wide == []
    cut = page.locator("#metrics th[scope=row]").evaluate_all("t => t.filter(e => e.scrollWidth > e.clientWidth)")
    assert all(page.locator("#metrics th[scope=row]").evaluate_all("t => t.map(e => e.title)")), cut


def test_a_histogram_switches_to_log_bins(make_run: MakeRun, open_page: OpenPage, report: Report) -> None:
    run = make_run(n=5)
    with load_run(run) as data:
        draw_figures(compute_stats(data), drawn_values(data), run / "analysis", formats=("svg",))
    page = open_page(report(run)).page
    page.locator("#figures details summary").first.click()
    histogram = page.locator(".histogram").first
    assert [histogram.locator(f".{scale}").is_visible() for scale in ("linear", "log")] == [True, False]
    histogram.locator("input").check()
    assert [histogram.locator(f".{scale}").is_visible() for scale in ("linear", "log")] == [False, True]


def test_print_shows_every_task_of_a_short_run(make_run: MakeRun, open_page: OpenPage, report: Report) -> None:
    opened = open_page(report(make_run(n=120)), color_scheme="dark")
    page = opened.page
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("#rows .task").count() == 120
    assert page.locator("nav.page").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.pdf(format="A4").startswith(b"%PDF")
    assert opened.problems == []
