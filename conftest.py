"""Tests that need an engine, a real vLLM or Chromium: skipped with a reason where it is missing, and run one by one.

PODIUM_REQUIRE=docker,vllm,browser turns a skip into a failure, for machines that must have them.
"""

import importlib.util
import os
import shutil
import subprocess

import pytest


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


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    required = {name for name in os.environ.get("PODIUM_REQUIRE", "").split(",") if name}
    missing: dict[str, str | None] = {}
    for item in items:
        needs = [need for need in ("docker", "vllm", "browser") if item.get_closest_marker(need)]
        for need in needs:
            if need not in missing:
                missing[need] = _missing(need)
            if missing[need] and need not in required:
                item.add_marker(pytest.mark.skip(reason=f"{need}: {missing[need]}"))
        if needs:
            # They fill the machine: two of them at once would time each other out.
            item.add_marker(pytest.mark.xdist_group("heavy"))
