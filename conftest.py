"""Tests that need an engine, a real vLLM or Chromium: skipped with a reason where it is missing, and run one by one.

PODIUM_REQUIRE=docker,vllm,browser turns a skip into a failure, for machines that must have them.
"""

import functools
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

NEEDS = ("docker", "vllm", "browser")
_MARKED = re.compile(rf"pytest\.mark\.({'|'.join(NEEDS)})\b")


def _missing(need: str) -> str | None:
    if need == "docker":
        try:
            done = subprocess.run(["docker", "info"], capture_output=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            return "no Docker engine answers"
        return None if done.returncode == 0 else "no Docker engine answers"
    if need == "vllm":
        return None if importlib.util.find_spec("vllm") else "vLLM is not installed"
    return None if shutil.which("chromium") else "no Chromium on PATH"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    required = {name for name in os.environ.get("PODIUM_REQUIRE", "").split(",") if name}
    missing: dict[str, str | None] = {}
    for item in items:
        for need in NEEDS:
            if item.get_closest_marker(need) is None:
                continue
            if need not in missing:
                missing[need] = _missing(need)
            if missing[need] and need not in required:
                item.add_marker(pytest.mark.skip(reason=f"{need}: {missing[need]}"))


@functools.cache
def _heavy(file: Path) -> bool:
    return bool(_MARKED.search(file.read_text()))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """One file at a time a worker, and all files that need an engine, vLLM or Chromium in one row on one worker: they
    fill the machine, two of them at once would time each other out. (xdist 3.8's own groups do nothing on pytest 9.2.)
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "heavy" if _heavy(config.rootpath / file) else file

    return ByFile(config, log)
