"""The pages' frames, without content: what stands in them is pushed and set as text by the scripts."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Final
from urllib.parse import quote

import jinja2
import orjson
from markupsafe import Markup
from podium_analysis.report.trajectories import COLUMNS, script_safe
from podium_analysis.report.write import TASK_COLUMNS

_OWN: Final = "podium_live"
_REPORT: Final = "podium_analysis.report"


@cache
def _asset(package: str, name: str) -> str:
    return (files(package) / "assets" / name).read_text(encoding="utf-8")


ASSETS: Final[dict[str, Callable[[], str]]] = {
    "page.css": lambda: _asset(_REPORT, "page.css"),
    "page.js": lambda: _asset(_REPORT, "page.js"),
    "live.css": lambda: _asset(_OWN, "live.css"),
    "live.js": lambda: _asset(_OWN, "live.js"),
}
"""What pages load: the report's own style and script, and what a live page adds to them."""


class Pages:
    """controls: the pages may steer runs."""

    def __init__(self, *, controls: bool) -> None:
        self._controls = controls
        self._environment = jinja2.Environment(
            loader=jinja2.ChoiceLoader([jinja2.FunctionLoader(_own), jinja2.FunctionLoader(_of_report)]),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
        )

    def runs(self) -> str:
        return self._render("runs.html.j2", "Runs", "/stream/runs")

    def run(self, run_id: str, epochs: int) -> str:
        at = quote(run_id, safe="")
        return self._render("run.html.j2", run_id, f"/stream/runs/{at}", run_id, f"/runs/{at}/rows", epochs)

    def task(self, run_id: str, key: str) -> str:
        at = f"{quote(run_id, safe='')}/tasks/{quote(key, safe='')}"
        return self._render("task.html.j2", key, f"/stream/runs/{at}", run_id)

    def _render(
        self, template: str, heading: str, stream: str, run_id: str = "", folder: str = "", epochs: int = 1
    ) -> str:
        index = script_safe(orjson.dumps({"columns": COLUMNS, "rows": [], "folder": folder, "epochs": epochs}))
        return self._environment.get_template(template).render(
            heading=heading, stream=stream, run_id=run_id, at=quote(run_id, safe=""), controls=self._controls,
            task_columns=TASK_COLUMNS, index=Markup(index.decode()),
        )  # fmt: skip


def _own(name: str) -> str | None:
    try:
        return _asset(_OWN, name)
    except FileNotFoundError:
        return None


def _of_report(name: str) -> str:
    return _asset(_REPORT, name)
