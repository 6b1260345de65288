"""Imports point only toward contracts, and importing does nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "podium_contracts": ROOT / "services/contracts/podium_contracts",
    "podium_vllm": ROOT / "services/vllm/podium_vllm",
    "podium_retrieval": ROOT / "services/retrieval/podium_retrieval",
    "podium_sandbox": ROOT / "services/sandbox/podium_sandbox",
    "podium_local": ROOT / "services/local/podium_local",
    "podium_eval": ROOT / "eval/podium_eval",
    "podium_analysis": ROOT / "analysis/podium_analysis",
}


def imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_itself_and_contracts(package: str) -> None:
    allowed = {package, "podium_contracts"}
    for file in sorted(PACKAGES[package].rglob("*.py")):
        others = {name for name in imported(file) if name in PACKAGES} - allowed
        assert not others, f"{file.relative_to(ROOT)} imports {sorted(others)}"


@pytest.mark.parametrize("package", ["podium_contracts", "podium_vllm"])
def test_these_need_the_standard_library_alone(package: str) -> None:
    modules = [
        ".".join((package, *f.relative_to(PACKAGES[package]).with_suffix("").parts)).removesuffix(".__init__")
        for f in sorted(PACKAGES[package].rglob("*.py"))
    ]
    program = f"import sys; sys.path.insert(0, {str(PACKAGES[package].parent)!r})\n" + "\n".join(
        f"import {module}" for module in modules
    )
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
