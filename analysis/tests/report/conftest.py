"""A report in Chromium."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright import sync_api
from podium_analysis.load.run_data import load_run
from podium_analysis.report.write import write_report
from podium_analysis.stats.compute import compute_stats

OFFLINE = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


# Playwright leaves its event loop set as the thread's running one until it is closed, and no asynchronous test can run
# while it is: so each module closes it.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = shutil.which("chromium")
    assert path, "Chromium is not installed (Debian's package chromium)"
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OFFLINE)
        yield browser
        browser.close()


class Opened:
    """A page and everything that must not have happened on it."""

    def __init__(self, context: Any, target: Path) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(30_000)
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.problems.append(f"{m.type}: {m.text}") if m.type != "log" else None)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.problems.append("dialog"), dialog.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(target.as_uri())
        self.page.wait_for_selector("html[data-ready]", state="attached")


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Opened]]:
    contexts: list[Any] = []

    def open_it(target: Path, **options: Any) -> Opened:
        context = chromium.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        return Opened(context, target)

    yield open_it
    for context in contexts:
        context.close()


@pytest.fixture
def report() -> Callable[..., Path]:
    """report(run, …) writes a run's report.html, with the figures that lie in its analysis/, and returns its path."""

    def write(run: Path, **options: Any) -> Path:
        with load_run(run) as data:
            return write_report(data, compute_stats(data), **options).path

    return write
