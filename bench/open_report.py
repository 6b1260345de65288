"""How long a report takes to open in Chromium, from disk, until its task list is ready.

    python bench/open_report.py runs/<run_id>/analysis/report.html

Wall time includes whatever else the machine does; the main thread's time does not.
"""

import argparse
import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        print("no chromium on PATH (Debian's package chromium)", file=sys.stderr)
        return 2
    print(f"{options.report}: {options.report.stat().st_size / 1e6:.1f} MB")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for _ in range(options.times):
            page = browser.new_page()
            session = page.context.new_cdp_session(page)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            page.goto(options.report.resolve().as_uri())
            page.wait_for_selector("html[data-ready]", state="attached")
            metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
            wall = page.evaluate("performance.now()")
            print(f"ready after {wall:.0f} ms; main thread busy {1000 * metrics['TaskDuration']:.0f} ms")
            page.close()
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
