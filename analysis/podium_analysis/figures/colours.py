"""The colours of every figure, light and dark. Importing this needs no matplotlib: the page maps one to the other."""

from collections.abc import Iterable
from typing import Final, Literal

INK: Final = "#222222"
MUTED: Final = "#666666"
GRID: Final = "#dddddd"
BAR: Final = "#56b4e9"
EXTRA_BAR: Final = "#bbbbbb"
MARKS: Final[dict[str, tuple[str, Literal["-", "--", ":"]]]] = {
    # name: (colour of Okabe and Ito's palette, line style): told apart by either
    "p50": ("#000000", "-"),
    "mean": ("#d55e00", "--"),
    "tail": ("#009e73", ":"),
}
"""tail: the highest percentile that n carries."""
CYCLE: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000")
"""Okabe and Ito's colours, in the order of most contrast."""

PART_COLOURS: Final[dict[str, str]] = {
    # a hue a family, light to dark within it, so that neighbours differ in lightness too
    "admission_ms": "#d9cdea",
    "client_wait_ms": "#cfe8f7",
    "queue_ms": "#8cc5e8",
    "prefill_ms": "#3a93cf",
    "decode_ms": "#0b5394",
    "overhead_ms": "#062a4d",
    "untimed_ms": "#5b6f82",
    "search_query_ms": "#b9e3d3",
    "search_retrieval_ms": "#2fa883",
    "search_web_ms": "#00604a",
    "reasoning_expert_ms": "#f7c873",
    "reasoning_execution_ms": "#b36b00",
    "answer_expert_ms": "#e3b3ce",
    "answer_judge_ms": "#96437a",
    "tool_rest_ms": "#bdbdbd",
    "unexplained_ms": "#6b6b6b",
}

ADDED: Final = ("#56b4e9", "#d55e00", "#0072b2", "#f0e442")
"""For tools and parts that nobody knew in advance, in turn."""


def part_colours(parts: Iterable[str]) -> dict[str, str]:
    """A colour a part, in the order in which figures show them: those of added tools before what is left over."""
    names = list(parts)
    added = [name for name in names if name not in PART_COLOURS]
    last = [name for name in ("tool_rest_ms", "unexplained_ms") if name in names]
    known = [name for name in PART_COLOURS if name in names and name not in last]
    turn = {name: ADDED[i % len(ADDED)] for i, name in enumerate(added)}
    return {name: turn.get(name) or PART_COLOURS[name] for name in (*known, *added, *last)}


DARK: Final[dict[str, str]] = {
    # colour on white: the same thing's colour on the page's dark paper
    "#ffffff": "#14171b",
    INK: "#e4e7eb",
    "#000000": "#e4e7eb",
    MUTED: "#98a2ae",
    GRID: "#2b3037",
    BAR: "#3f8fc4",
    EXTRA_BAR: "#59616b",
    "#0072b2": "#5aa9e6",
    "#e69f00": "#e0aa4a",
    "#009e73": "#3fc49b",
    "#cc79a7": "#d993bb",
    "#d55e00": "#f08a4b",
    "#f0e442": "#e3da66",
    "#999999": "#868e98",
    "#d9cdea": "#57467a",
    "#cfe8f7": "#27485c",
    "#8cc5e8": "#37698a",
    "#3a93cf": "#3a93cf",
    "#0b5394": "#7cb8ee",
    "#062a4d": "#c3daf0",
    "#5b6f82": "#7f93a6",
    "#b9e3d3": "#1d5444",
    "#2fa883": "#2fa883",
    "#00604a": "#8fdcc3",
    "#f7c873": "#8a6420",
    "#b36b00": "#d9993a",
    "#e3b3ce": "#7c4f6a",
    "#96437a": "#cf7fb2",
    "#bdbdbd": "#4a5058",
    "#6b6b6b": "#9aa0a7",
}
"""Those of PART_COLOURS are the page's own (report/assets/page.css). Another keeps its hue and swaps lightness."""
