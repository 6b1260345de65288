"""The machine and the versions that a run is made with, for run.json."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_PACKAGES: Final = (
    "podium-eval",
    "podium-contracts",
    "openai",
    "aiohttp",
    "httpx2",
    "uvloop",
    "orjson",
    "pydantic",
    "python-json-logger",
    "tenacity",
)


def versions() -> dict[str, str]:
    """Of Python and the packages that a measurement depends on."""
    facts = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            facts[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return facts


def git_revision() -> str | None:
    """The checkout's commit; None outside one."""
    return _output("git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD")


def host() -> dict[str, Any]:
    """Name, system, processors and memory (MB) of this machine."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    return {
        "name": platform.node(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "memory_mb": memory,
        "python": sys.executable.rpartition("/")[2],
    }


def gpus() -> list[dict[str, str]]:
    """What nvidia-smi names; empty where there is none (in compose the eval container sees no GPU)."""
    text = _output("nvidia-smi", "--query-gpu=index,name,driver_version,memory.total", "--format=csv,noheader")
    names = ("index", "name", "driver", "memory")
    return [dict(zip(names, (p.strip() for p in line.split(",")), strict=False)) for line in (text or "").splitlines()]


def _output(*command: str) -> str | None:
    if shutil.which(command[0]) is None:
        return None
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.strip() or None if ran.returncode == 0 else None
