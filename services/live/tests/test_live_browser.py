"""The live pages in a real Chromium: a run as it goes, hostile text, kills of either side, assistive technology."""

import asyncio
import json
import shutil
import subprocess
import tarfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from harness.chain import numbered, questions, server
from harness.process import Eval
from playwright import async_api
from podium_analysis.load.run_data import load_run
from podium_analysis.quantities import duration, number
from podium_analysis.stats.compute import compute_stats
from podium_contracts.control import ask_line

pytestmark = pytest.mark.browser
MakeRun = Callable[..., Path]
OFFLINE = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
HOSTILE = (
    "</script><script>window.pwned=1</script><img src=x onerror=window.pwned=2><svg onload=window.pwned=3>"
    "\"' onmouseover=window.pwned=4 <!--<script>{{7*7}}&lt;b&gt;\u2028\u202e\x00"
)
AXE = "axe-core@4.10.3"
STILL = "the page's service does not answer: what is shown is old; trying again"


class Opened:
    """A page and everything that must not have happened on it."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []
        page.set_default_timeout(30_000)
        page.on("console", lambda m: self.problems.append(f"{m.type}: {m.text}") if m.type != "log" else None)
        page.on("pageerror", lambda error: self.problems.append(str(error)))

    async def to(self, address: str) -> Any:
        await self.page.goto(address)
        await self.page.wait_for_selector("html[data-live]", state="attached")
        return self.page


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Any]]:
    path = shutil.which("chromium")
    assert path, "Chromium is not installed (Debian's package chromium)"
    async with async_api.async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=OFFLINE)

        async def open_it(**options: Any) -> Opened:
            context = await browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
            return Opened(await context.new_page())

        yield open_it
        await browser.close()


async def facts(page: Any) -> dict[str, str]:
    labels = await page.locator("#facts dt").all_text_contents()
    return dict(zip(labels, await page.locator("#facts .value").all_text_contents(), strict=True))


async def until(page: Any, condition: str, limit_s: float = 30.0) -> None:
    """Wait for a condition; Playwright's own wait needs `eval`, which the pages' policy forbids."""
    async with asyncio.timeout(limit_s):
        while not await page.evaluate(condition):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def legend(page: Any, id: str) -> list[str]:
    return await page.locator(f"#{id} .legend b").all_text_contents()


async def test_every_number_is_the_logs_at_that_moment(
    tmp_path: Path, service: Callable[..., Any], opened: Callable[..., Any]
) -> None:
    ids = numbered(48)
    async with server(latency_s=0.15) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", ids), concurrency=8, budget=5)
        await run.start()
        await run.says("[HLE_TASK_COMPLETE]", times=8)
        live = await asyncio.to_thread(service)
        seen = await opened()
        page = await seen.to(f"{live.address}/runs/run")
        assert await page.inner_text("#state") != STILL
        await run.says("[HLE_TASK_COMPLETE]", times=16)
        await asyncio.to_thread(ask_line, run.folder.path, b'{"act":"pause"}', 20.0)
        await until(page, "document.querySelector('#state').textContent.startsWith('paused')")
        await until(page, "document.querySelectorAll('#facts .value')[2].textContent === '0'")
        with load_run(run.folder.path) as data:
            stats = compute_stats(data)
        n_events = len(run.events())
        await until(page, f"document.querySelector('#state').textContent.includes('{n_events} events')")
        shown = await facts(page)
        assert shown["Ended"] == f"{stats.tasks.n_ended} of 48"
        assert 16 <= stats.tasks.n_ended < 48
        assert stats.scores is not None
        assert await page.inner_text("#score .value") == f"{stats.scores.accuracy:.1f} %"
        assert f"{stats.scores.n_right} of 48, ±{stats.scores.half_width:.1f} points" in await page.inner_text("#score")
        wanted = [number(n) for n in (stats.scores.n_right, stats.scores.n_missing)]
        assert await legend(page, "outcomes") == wanted
        assert await legend(page, "time") == [duration(ms) for ms in stats.time.overall_ms.values() if ms > 0]
        assert await page.locator("#rows .toggle").count() > 0
        assert await page.inner_text("#count") == f"{stats.tasks.n_ended} tasks"
        await asyncio.to_thread(ask_line, run.folder.path, b'{"act":"resume"}', 20.0)
        assert await run.ended() == 0, run.said
        await until(page, "document.querySelector('#state').textContent.startsWith('finished')")
        assert (await facts(page))["Ended"] == "48 of 48"
    assert seen.problems == []


async def test_what_is_shown_is_at_most_two_seconds_old(
    runs: Path, service: Callable[..., Any], opened: Callable[..., Any], make_run: MakeRun
) -> None:
    log = make_run("run", n=30) / "events.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines[:40]))
    live = await asyncio.to_thread(service)
    page = await (await opened()).to(f"{live.address}/runs/run")
    late: list[float] = []
    for n in range(41, 61):
        with log.open("ab") as file:
            file.write(lines[n - 1])
        began = time.monotonic()
        await until(page, f"document.querySelector('#state').textContent.includes('; {n} events')")
        late.append(time.monotonic() - began)
    print(f"freshness: median {sorted(late)[len(late) // 2]:.2f} s, at most {max(late):.2f} s")
    assert sorted(late)[-3] < 2.0, late  # this machine may have been busy elsewhere once or twice


async def test_a_trajectory_grows_and_either_side_may_die(
    tmp_path: Path, service: Callable[..., Any], opened: Callable[..., Any]
) -> None:
    async with server(latency_s=0.4) as stub:
        run = Eval(tmp_path, stub.address, questions(tmp_path / "q.jsonl", numbered(6)), concurrency=2)
        await run.start()
        await run.began()
        async with asyncio.timeout(30):
            while len(list(run.folder.checkpoints.iterdir())) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        stub.latency_s = 600  # both stay in flight, each behind its first turn
        live = await asyncio.to_thread(service)
        seen = await opened()
        page = await seen.to(f"{live.address}/runs/run")
        await page.click("#t-in-flight tbody a")
        await page.wait_for_selector("#record .turn")
        assert (await page.inner_text("#flight")).startswith("In flight for ")
        await run.kill()
        await page.goto(f"{live.address}/runs/run")
        await page.wait_for_selector("#facts .value")
        before = await facts(page)
        live.kill()
        await until(page, f"document.querySelector('#state').textContent === {json.dumps(STILL)}")
        assert await facts(page) == before, "what was shown stays while the service is away"
        stub.latency_s = 0.0
        await asyncio.gather(asyncio.to_thread(live.start), run.start())
        assert await run.ended() == 0, run.said
        await until(page, "document.querySelector('#state').textContent.startsWith('finished')")
        assert (await facts(page))["Ended"] == "6 of 6"


async def test_hostile_text_stays_text_on_every_page(
    make_run: MakeRun, service: Callable[..., Any], opened: Callable[..., Any]
) -> None:
    run = make_run("run", n=6, hostile=HOSTILE)
    lines = (run / "events.jsonl").read_text().splitlines()
    start = next(json.loads(line) for line in lines if '"task_start"' in line)
    bad = {**start, "type": "tool_call", "tool": HOSTILE, "status": "failed", "duration_ms": 1, "duration_total_ms": 1}
    bad |= {"error_type": HOSTILE, "error_message": HOSTILE, "provider": HOSTILE}
    limit = {**start, "type": "limit", "provider": HOSTILE, "limit": 1, "previous": 2, "reason": HOSTILE}
    flying = {**start, "task_id": HOSTILE}
    with (run / "events.jsonl").open("w") as log:
        kept = [line for line in lines if '"run_end"' not in line]
        log.write("\n".join([*kept, *(json.dumps(one) for one in (flying, bad, limit))]) + "\n")
    live = await asyncio.to_thread(service)
    seen = await opened()
    page = await seen.to(f"{live.address}/runs/run")
    await page.wait_for_selector("#rows .toggle")
    assert HOSTILE[:40] in await page.inner_text("#tables")
    for i in range(await page.locator("#rows .toggle").count()):
        await page.locator("#rows .toggle").nth(i).press("Enter")
    await page.wait_for_selector("#rows .turn")
    assert await page.evaluate("[window.pwned, document.querySelectorAll('main img, main script').length]") == [None, 0]
    record = next((run / "tasks").glob("*.json"))
    await seen.to(f"{live.address}/runs/run/tasks/{record.stem}")
    assert "onerror=window.pwned" in await page.inner_text("#record")
    assert await page.evaluate("window.pwned") is None
    await seen.to(live.address)
    assert await page.evaluate("window.pwned") is None
    assert seen.problems == []


async def test_the_report_runs_in_a_sandbox_of_its_own(
    make_run: MakeRun, service: Callable[..., Any], opened: Callable[..., Any]
) -> None:
    make_run("run", n=6, hostile=HOSTILE)
    live = await asyncio.to_thread(service)
    seen = await opened()
    seen.page.set_default_timeout(120_000)
    await seen.page.goto(f"{live.address}/runs/run/report")
    await seen.page.wait_for_selector("html[data-ready]", state="attached")
    await seen.page.locator("#rows .toggle").first.press("Enter")
    await seen.page.wait_for_selector("#rows .turn")
    assert await seen.page.evaluate("[window.pwned ?? null, window.origin]") == [None, "null"]
    assert seen.problems == []


async def test_runs_filter_and_sort_by_keyboard(
    make_run: MakeRun, service: Callable[..., Any], opened: Callable[..., Any]
) -> None:
    for name, n in (("alpha", 3), ("beta", 9), ("gamma", 6)):
        make_run(name, n=n)
    live = await asyncio.to_thread(service)
    seen = await opened(viewport={"width": 390, "height": 844})
    page = await seen.to(live.address)
    await page.keyboard.press("/")
    await page.keyboard.type("am")
    assert await page.locator("#runs tbody th").all_text_contents() == ["gamma"]
    assert await page.inner_text("#run-count") == "1 of 3 runs"
    await page.fill("#run-search", "")
    header = page.locator("#runs thead th", has_text="ended")
    await header.locator("button").press("Enter")
    assert await header.get_attribute("aria-sort") == "descending"
    assert await page.locator("#runs tbody th").all_text_contents() == ["beta", "gamma", "alpha"]
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    assert seen.problems == []


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's source, from the npm registry that this machine is configured for."""
    folder = tmp_path_factory.mktemp("axe")
    if shutil.which("npm") is None:
        pytest.skip("axe-core: no npm on PATH")
    try:
        subprocess.run(["npm", "pack", AXE, "--silent"], cwd=folder, check=True, capture_output=True, timeout=60)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"axe-core: the npm registry does not answer ({error})")
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        member = package.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_assistive_technology_finds_nothing_serious(
    make_run: MakeRun, service: Callable[..., Any], opened: Callable[..., Any], axe: str, scheme: str
) -> None:
    run = make_run("run", n=12)
    lines = (run / "events.jsonl").read_text().splitlines()
    (run / "events.jsonl").write_text("\n".join(line for line in lines[:-30] if '"run_end"' not in line) + "\n")
    record = next((run / "tasks").glob("*.json"))
    live = await asyncio.to_thread(service, LIVE_TOKEN="a-token-of-some-length")
    found: list[str] = []
    for width in (1280, 390):
        seen = await opened(color_scheme=scheme, viewport={"width": width, "height": 900})
        for path in ("/?token=a-token-of-some-length", "/runs/run", f"/runs/run/tasks/{record.stem}"):
            page = await seen.to(live.address + path)
            await page.wait_for_selector("tbody tr, #record .turn")
            await page.evaluate(axe)
            result = await page.evaluate("axe.run()")
            for one in result["violations"]:
                node = " ".join(one["nodes"][0]["html"].split())[:160]
                if one["impact"] in ("serious", "critical"):
                    found.append(f"{path} {width}: {one['impact']} {one['id']} {node}")
    assert found == []
