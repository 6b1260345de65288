"""Moving about in report.html: links, the search box and a task's address reach what they name."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from podium_analysis.figures.draw import draw_figures
from podium_analysis.figures.values import drawn_values
from podium_analysis.load.run_data import load_run
from podium_analysis.report.write import write_report
from podium_analysis.stats.compute import compute_stats

pytestmark = pytest.mark.browser

OpenPage = Callable[..., Any]
MakeRun = Callable[..., Path]
FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
AT_END = "scrollY + innerHeight >= document.documentElement.scrollHeight - 1"
TOP = "e => Math.round(e.getBoundingClientRect().top)"


@pytest.fixture(scope="module")
def whole_report(generated_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A report with every figure, as `podium-analysis report` writes it."""
    run = tmp_path_factory.mktemp("navigation") / "run"
    shutil.copytree(generated_run, run)
    with load_run(run) as data:
        stats = compute_stats(data)
        draw_figures(stats, drawn_values(data), run / "analysis")
        yield write_report(data, stats).path


@pytest.fixture(params=[(1280, "no-preference"), (700, "reduce"), (390, "no-preference"), (390, "reduce")])
def page(request: pytest.FixtureRequest, open_page: OpenPage, whole_report: Path) -> Any:
    width, motion = request.param
    opened = open_page(whole_report, viewport={"width": width, "height": 900}, reduced_motion=motion)
    return opened.page


def settle(page: Any) -> None:
    page.evaluate(FRAMES)


def nav_height(page: Any) -> int:
    return page.locator("nav.page").evaluate("e => e.offsetHeight")


def test_every_section_link_reaches_its_section(page: Any) -> None:
    for link in page.locator("nav.page a").all():
        name = link.get_attribute("href")
        link.evaluate("e => e.click()")
        settle(page)
        top = page.locator(name).evaluate(TOP)
        assert 0 <= top <= nav_height(page) + 40 or (page.evaluate(AT_END) and 0 < top < 900), name


def test_the_page_keeps_its_height_while_scrolling(page: Any) -> None:
    height = "document.documentElement.scrollHeight"
    before = page.evaluate(height)
    for y in range(0, before, 800):
        page.evaluate(f"scrollTo(0, {y})")
        settle(page)
    assert page.evaluate(height) == before


def test_slash_focuses_a_box_on_screen(page: Any) -> None:
    page.keyboard.press("/")
    settle(page)
    assert page.evaluate("document.activeElement.id") == "search"
    assert nav_height(page) <= page.locator("#search").evaluate(TOP) < 400


@pytest.mark.parametrize("at", [0, -1])
def test_a_task_link_puts_the_task_at_the_top(page: Any, at: int) -> None:
    links = page.locator("#slowest tbody a")
    link = links.nth(at % links.count())
    for _ in range(2):  # the second click changes no address
        link.click()
        line = page.locator(f'.task.open:has-text("{link.inner_text()}") .line')
        page.wait_for_selector(".task.open .turn")
        for _ in range(3):
            settle(page)
        assert abs(line.evaluate(TOP) - nav_height(page)) <= 2
        page.evaluate("scrollTo(0, 0)")


def test_the_last_tasks_address_opens_it_at_the_top(open_page: OpenPage, whole_report: Path) -> None:
    page = open_page(whole_report).page
    key = page.evaluate("JSON.parse(document.getElementById('index').textContent).rows.at(-1)[0]")
    page.goto(f"{whole_report.as_uri()}#task-{key}")
    page.reload()
    page.wait_for_selector(".task.open .turn")
    for _ in range(3):
        settle(page)
    top = page.locator(".task.open .line").evaluate(TOP)
    assert abs(top - nav_height(page)) <= 2 or (page.evaluate(AT_END) and 0 < top < 450)


def test_an_address_of_no_task_opens_nothing(open_page: OpenPage, whole_report: Path) -> None:
    page = open_page(whole_report).page
    for name in ("task-none", "task-%E0%A4%A"):
        page.goto(f"{whole_report.as_uri()}#{name}")
        page.reload()
        page.wait_for_selector("html[data-ready]", state="attached")
        assert page.locator(".task.open").count() == 0


def test_content_that_arrives_during_a_press_takes_no_click(open_page: OpenPage, whole_report: Path) -> None:
    """The press on the second row, then the first one's content, then the release: the row must not have moved."""
    page = open_page(whole_report).page
    page.locator("#rows .toggle").first.click()
    page.wait_for_selector(".task.open .turn")
    settle(page)
    page.locator("#rows .toggle").nth(1).scroll_into_view_if_needed()
    settle(page)
    box = page.locator("#rows .toggle").nth(1).bounding_box()
    page.mouse.move(box["x"] + 30, box["y"] + 8)
    page.mouse.down()
    page.evaluate("document.querySelector('.task.open .body').style.paddingBottom = '900px'")
    page.evaluate("document.getElementById('search').dispatchEvent(new Event('input'))")
    page.wait_for_timeout(200)  # longer than the search's own delay
    page.mouse.up()
    page.wait_for_selector("#rows .task:nth-child(2).open", timeout=5000)
    settle(page)
    settle(page)
    tops = page.locator("#rows .task").evaluate_all(
        "nodes => nodes.slice(0, 2).map(n => n.getBoundingClientRect().top)"
    )
    assert tops[1] - tops[0] > 900
