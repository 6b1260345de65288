"""The benchmark that BENCHMARK names: a built-in one, or an entry point of the group `podium.benchmarks`."""

import re
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from podium_eval.benchmarks.benchmark import Benchmark
from podium_eval.benchmarks.custom import CUSTOM
from podium_eval.benchmarks.frames import FRAMES
from podium_eval.benchmarks.hle import HLE
from podium_eval.benchmarks.simpleqa import SIMPLEQA
from podium_eval.errors import ConfigError

GROUP: Final = "podium.benchmarks"
BUILT_IN: Final = {one.name: one for one in (HLE, FRAMES, SIMPLEQA, CUSTOM)}
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_PROTOCOLS: Final = {protocol.name: protocol for one in BUILT_IN.values() for protocol in one.protocols}


def installed() -> dict[str, EntryPoint]:
    """Every benchmark that an installed package offers, by name; none of a built-in's name."""
    return {point.name: point for point in entry_points(group=GROUP) if point.name not in BUILT_IN}


def choose(name: str) -> Benchmark:
    """The benchmark of that name. Of packages only the named one is loaded.

    Raises:
        ConfigError: there is none, or the package's cannot be used.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    points = installed()
    if name not in points:
        raise ConfigError([f"BENCHMARK={name}: there is none; there are {', '.join([*BUILT_IN, *sorted(points)])}"])
    point = points[name]
    package = f"{point.dist.name} {point.dist.version}" if point.dist is not None else point.value
    where = f"BENCHMARK={name} of {package} ({point.value})"
    try:
        found: Any = point.load()
    except (Exception, SystemExit) as error:
        raise ConfigError([f"{where} cannot be loaded: {type(error).__name__}: {error}"]) from error
    if (problem := unusable(found, name)) is not None:
        raise ConfigError([f"{where}: {problem}"])
    return found


def unusable(found: Any, name: str) -> str | None:
    """Why something is no benchmark that can be used; None: it is one."""
    if not isinstance(found, Benchmark):
        return f"must be a Benchmark, it is {type(found).__name__}"
    if found.name != name or _NAME.fullmatch(name) is None:
        return f"its name must be the entry point's, of a-z, 0-9, _ and -: it is {found.name!r}"
    if not found.protocols:
        return "needs a protocol to grade by"
    taken = [one.name for one in found.protocols if _PROTOCOLS.get(one.name, one) is not one]
    return f"the protocol's name {taken[0]!r} is a built-in one's; give it another" if taken else None
