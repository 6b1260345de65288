"""podium-analysis gate: fails a build when a run crosses a limit.

A limits file (TOML or JSON) holds one table of metrics, each with `min`, `max` or both:

    "orchestrator.prefill_ms.p99" = { max = 500 }
    "score.accuracy" = { min = 30 }
    "errors.rate" = { max = 0.01 }

or, which is the same, nested tables. A name is a path into stats.json, or begins with a short form (SHORT); `metrics.`
may be left out, and the parts of a metric's name may be joined by dots. A metric that is not there, or is null, fails
its limit: what was not measured was not shown to hold.
"""

import argparse
import difflib
import json
import math
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from podium_analysis.compare.verdict import add_baseline, baseline_status
from podium_analysis.load.event_table import LoadError
from podium_analysis.load.find import run_folder
from podium_analysis.quantities import number

Verdict = Literal["pass", "over", "under", "missing"]
_BOUNDS: Final = frozenset({"min", "max"})

SHORT: Final[Mapping[str, str]] = {
    # what a name may begin with: what that stands for in stats.json
    "score.": "scores.",
    "cost.": "costs.",
    "unexplained.": "accounting.unexplained_share.",
}


class BadLimits(ValueError):
    """The limits file cannot be used; the message names the file and the line or metric."""


@dataclass(frozen=True, slots=True)
class Limit:
    """Inclusive bounds of one metric; at least one of them."""

    metric: str
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class Check:
    limit: Limit
    value: float | None
    verdict: Verdict
    reason: str = ""


def read_limits(path: Path) -> list[Limit]:
    """The limits of a .toml or .json file, in its order.

    Raises:
        BadLimits: no such file, no TOML or JSON, no limit in it, or a bound that is no number.
    """
    try:
        text = path.read_text(encoding="utf-8")
        raw: Any = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise BadLimits(f"{path}: {error.strerror}; give a TOML or JSON file of limits") from error
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadLimits(f"{path}: {error}") from error
    if not isinstance(raw, dict):
        raise BadLimits(f"{path}: holds no table of limits")
    limits = list(_limits(path, "", cast(dict[str, Any], raw)))
    if not limits:
        raise BadLimits(f'{path}: holds no limit; write one as "score.accuracy" = {{ min = 30 }}')
    return limits


def check(limits: Sequence[Limit], stats: Mapping[str, Any]) -> list[Check]:
    """Check each limit against stats.json."""
    return [_check(limit, stats) for limit in limits]


def look_up(stats: Mapping[str, Any], name: str) -> float:
    """The number that a limit's name means.

    Raises:
        LookupError: no such name, a value that this run does not have, or no number; the message names the case.
    """
    if name == "errors.rate":
        return _error_rate(stats)
    for path in _paths(name):
        try:
            value = _walk(stats, path)
        except KeyError:
            continue
        if value is None:
            raise LookupError("not measured in this run (null in stats.json)")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise LookupError("is no single number; name one of its fields, such as .p99")
        if not math.isfinite(value):
            raise LookupError("not finite")
        return float(value)
    near = difflib.get_close_matches(name, {"errors.rate", *_names(stats)}, n=1)
    raise LookupError("no such name in stats.json" + (f": did you mean {near[0]}?" if near else ""))


def _names(node: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The names of every number in stats.json, and of every value that is not known, as a limit would write them."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _names(cast(Mapping[str, Any], value), f"{prefix}{key}.")
        elif value is None or isinstance(value, int | float):
            name = f"{prefix}{key}".removeprefix("metrics.")
            yield next((name.replace(full, short, 1) for short, full in SHORT.items() if name.startswith(full)), name)


def _paths(name: str) -> Iterator[list[str]]:
    """Where a name may lie in stats.json, the first that exists counts."""
    long = next((name.replace(short, full, 1) for short, full in SHORT.items() if name.startswith(short)), name)
    parts = ["p50" if part == "median" else part for part in long.split(".")]
    yield parts
    yield ["metrics", *parts]
    yield ["metrics", "_".join(parts[:-1]), parts[-1]]


def _error_rate(stats: Mapping[str, Any]) -> float:
    """Tasks that ended in an infrastructure error, as a share of 1 of those that ended."""
    try:
        ended, failed = stats["tasks"]["n_ended"], stats["tasks"]["by_status"].get("error", 0)
    except (KeyError, TypeError, AttributeError):
        raise LookupError("stats.json has no count of tasks") from None
    if not ended:
        raise LookupError("no task has ended")
    return failed / ended


def _walk(node: object, path: Sequence[str]) -> object:
    for part in path:
        if not isinstance(node, Mapping):
            raise KeyError(part)
        node = cast(Mapping[str, object], node)[part]
    return node


def _check(limit: Limit, stats: Mapping[str, Any]) -> Check:
    try:
        value = look_up(stats, limit.metric)
    except LookupError as error:
        return Check(limit, None, "missing", str(error))
    if limit.maximum is not None and value > limit.maximum:
        return Check(limit, value, "over")
    if limit.minimum is not None and value < limit.minimum:
        return Check(limit, value, "under")
    return Check(limit, value, "pass")


def _limits(path: Path, prefix: str, table: Mapping[str, Any]) -> Iterator[Limit]:
    for name, entry in table.items():
        metric = f"{prefix}{name}"
        if not isinstance(entry, dict):
            raise BadLimits(f"{path}: {metric} = {entry!r} is no limit; write {{ max = … }} or {{ min = … }}")
        bounds = cast(dict[str, Any], entry)
        if not bounds.keys() & _BOUNDS:
            yield from _limits(path, f"{metric}.", bounds)
            continue
        if unknown := bounds.keys() - _BOUNDS:
            raise BadLimits(f"{path}: {metric} has {', '.join(sorted(unknown))} beside its limits; only min and max")
        for bound, value in bounds.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise BadLimits(f"{path}: {metric}: {bound} = {value!r} is no number")
        yield Limit(metric, bounds.get("min"), bounds.get("max"))


def print_checks(checks: Sequence[Check], console: Console) -> None:
    """A row a limit, the failed ones in red."""
    table = Table(box=None, pad_edge=False)
    for name, justify in (("", "left"), ("metric", "left"), ("value", "right"), ("min", "right"), ("max", "right")):
        table.add_column(name, justify=justify, no_wrap=True)  # pyright: ignore[reportArgumentType]
    table.add_column("")
    for one in checks:
        style = "" if one.verdict == "pass" else "red"
        crossed = {"over": f"above the maximum of {number(one.limit.maximum)}",
                   "under": f"below the minimum of {number(one.limit.minimum)}"}  # fmt: skip
        cells = (
            "pass" if one.verdict == "pass" else "FAIL",
            one.limit.metric,
            number(one.value),
            "" if one.limit.minimum is None else number(one.limit.minimum),
            "" if one.limit.maximum is None else number(one.limit.maximum),
            one.reason or (f"{number(one.value)} is {crossed[one.verdict]}" if one.verdict in crossed else ""),
        )
        table.add_row(*(Text(cell, style=style) for cell in cells))
    console.print(table)


def register(subparsers: Any) -> None:
    """Add `gate` to podium-analysis."""
    parser = subparsers.add_parser("gate", help="exit 1 when a metric of a run crosses its limit (for CI)")
    parser.add_argument("run", metavar="RUN", help="id or folder of a run that `report` has analysed")
    parser.add_argument("limits", type=Path, metavar="LIMITS", nargs="?", help="a .toml or .json file of limits")
    add_baseline(parser)
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """0: every limit holds, and the run is not worse than the baseline. 1: else. 2: something cannot be read."""
    worse = 0 if args.baseline is None else baseline_status(args)
    if worse == 2:
        return worse
    if args.limits is not None:
        return max(worse, _limits_hold(args))
    if args.baseline is None:
        print("podium-analysis gate: give LIMITS, or --baseline RUN, or both", file=sys.stderr)
        return 2
    return worse


def _limits_hold(args: argparse.Namespace) -> int:
    try:
        path = run_folder(args.run) / "analysis" / "stats.json"
        limits = read_limits(args.limits)
    except (BadLimits, LoadError) as error:
        print(f"podium-analysis gate: {error}", file=sys.stderr)
        return 2
    try:
        stats = json.loads(path.read_bytes())
        if not isinstance(stats, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError) as error:
        print(f"podium-analysis gate: {path}: {error}; run `podium-analysis report` first", file=sys.stderr)
        return 2
    checks = check(limits, cast(dict[str, Any], stats))
    print_checks(checks, Console(width=max(100, Console().width)))
    failed = sum(one.verdict != "pass" for one in checks)
    print(f"{len(checks) - failed} of {len(checks)} limits hold")
    return 1 if failed else 0
