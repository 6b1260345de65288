"""The layout's rules: imports point one way, folders stay small, constructors short, and importing does nothing."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {
    "podium_contracts": ROOT / "services/contracts/podium_contracts",
    "podium_vllm": ROOT / "services/vllm/podium_vllm",
    "podium_retrieval": ROOT / "services/retrieval/podium_retrieval",
    "podium_sandbox": ROOT / "services/sandbox/podium_sandbox",
    "podium_local": ROOT / "services/local/podium_local",
    "podium_live": ROOT / "services/live/podium_live",
    "podium_eval": ROOT / "eval/podium_eval",
    "podium_analysis": ROOT / "analysis/podium_analysis",
}
FLOORS: Final = {
    "podium_eval": "__main__ commands run control episode scheduling tools benchmarks grading models transport dataset "
    "telemetry log costs settings prompts errors files clock",
    "podium_analysis": "__main__ pipeline compare export report figures stats scoring metrics load section settings "
    "quantities",
    "podium_retrieval": "__main__ api start service top_up documents metrics batching web screen answer_cache index "
    "encoder outgoing logs files settings errors",
    "podium_sandbox": "__main__ api run process isolation settings",
    "podium_live": "__main__ api follow control files settings",
}
"""Each package from the top floor down: a sub-package or module imports only what stands after it."""
BESIDES: Final = {"podium_live": {"podium_analysis"}}
"""What a package imports besides: the live page draws with the report's statistics and scripts."""
UPWARD: Final[set[tuple[str, str]]] = set()
"""Arrows that still run back. One that is gone must leave this list; none may join it."""
MOST_MODULES: Final = 12
MOST_ARGUMENTS: Final = 7
MOST_LINES: Final = 250


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
    allowed = {package, "podium_contracts"} | BESIDES.get(package, set())
    for file in sorted(PACKAGES[package].rglob("*.py")):
        others = {name for name in imported(file) if name in PACKAGES} - allowed
        assert not others, f"{file.relative_to(ROOT)} imports {sorted(others)}"


def floors_imported(package: str, file: Path) -> Iterator[str]:
    """The sub-packages and root modules of the same package that a file imports, by name."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package:
            parts = node.module.split(".")
            yield from parts[1:2] or [alias.name for alias in node.names]


@pytest.mark.parametrize("package", FLOORS)
def test_imports_run_down_the_floors(package: str) -> None:
    order = FLOORS[package].split()
    upward: set[tuple[str, str]] = set()
    for file in sorted(PACKAGES[package].rglob("*.py")):
        own = file.relative_to(PACKAGES[package]).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        assert own in order, f"{file.relative_to(ROOT)} stands on no floor: give {own} a place in FLOORS"
        for other in floors_imported(package, file):
            assert other in order, f"{file.relative_to(ROOT)} imports {other}, which stands on no floor"
            if order.index(other) < order.index(own):
                upward.add((f"{package}.{own}", f"{package}.{other}"))
    assert upward == {arrow for arrow in UPWARD if arrow[0].startswith(f"{package}.")}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_folder_grows_past_twelve_modules(package: str) -> None:
    folders = {file.parent for file in PACKAGES[package].rglob("*.py")}
    sizes = {str(f.relative_to(ROOT)): len([m for m in f.glob("*.py") if not m.stem.startswith("__")]) for f in folders}
    assert {folder: size for folder, size in sizes.items() if size > MOST_MODULES} == {}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_has_more_than_250_lines(package: str) -> None:
    long = {
        str(file.relative_to(ROOT))
        for file in PACKAGES[package].rglob("*.py")
        if len(file.read_text().splitlines()) > MOST_LINES
    }
    assert long == set()


def test_no_constructor_takes_more_than_seven_arguments() -> None:
    long: set[str] = set()
    for folder in PACKAGES.values():
        for file in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.ClassDef):
                    continue
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                        taken = method.args.posonlyargs + method.args.args + method.args.kwonlyargs
                        if len(taken) - 1 > MOST_ARGUMENTS:
                            long.add(node.name)
    assert long == set()


@pytest.mark.parametrize("package", ["podium_contracts", "podium_vllm"])
def test_these_need_the_standard_library_alone(package: str) -> None:
    modules = [
        ".".join((package, *f.relative_to(PACKAGES[package]).with_suffix("").parts)).removesuffix(".__init__")
        for f in sorted(PACKAGES[package].rglob("*.py"))
        if f.relative_to(PACKAGES[package]) != Path("otel/export.py")  # what eval[otel] and analysis[otel] are for
    ]
    program = f"import sys; sys.path.insert(0, {str(PACKAGES[package].parent)!r})\n" + "\n".join(
        f"import {module}" for module in modules
    )
    done = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
