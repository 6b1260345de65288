"""Time and the environment enter at the edge: below it every wait takes the Clock and every setting is handed down."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EVAL = ROOT / "eval/podium_eval"
WAITS = {
    *("time.time", "time.monotonic", "time.perf_counter", "time.sleep", "time.monotonic_ns", "time.perf_counter_ns"),
    *("asyncio.sleep", "asyncio.timeout", "asyncio.timeout_at", "asyncio.wait_for"),
}
CLOCK_ITSELF = "clock.py"
WAITS_WITHOUT_A_CLOCK = Counter(
    {
        "log/writer.py": 1,  # its thread gathers what comes within milliseconds
        "tools/mcp/supervise.py": 1,  # a process of its own, which outlives eval's
        "episode/loop.py": 1,  # sleep(0): lets the other tasks have a turn, waits for nothing
    }
)
EDGES = {
    "eval/podium_eval": ("__main__.py", "commands/", "settings/"),
    "services/contracts/podium_contracts": (),
    "services/vllm/podium_vllm": ("__main__.py",),
    "services/local/podium_local": ("__main__.py",),
    "services/retrieval/podium_retrieval": ("__main__.py", "settings.py"),
    "services/sandbox/podium_sandbox": ("__main__.py", "settings.py"),
    "services/live/podium_live": ("__main__.py", "settings.py"),
    "analysis/podium_analysis": ("__main__.py", "settings.py"),
}
ENVIRONMENT_BELOW = {
    "podium_eval/tools/mcp/servers.py": "the variables that the user's MCP_SERVERS names, handed to its servers",
    "podium_vllm/serve.py": "vLLM inherits this process's own",
    "podium_vllm/sizes.py": "CUDA_VISIBLE_DEVICES, the GPU of this process",
    "podium_local/gpus.py": "CUDA_DEVICE_ORDER, kept as it is set",
    "podium_vllm/embedded.py": "set for a library, before it is imported",
    "podium_sandbox/process/reaper.py": "a program's own, made anew",
    "podium_sandbox/process/zygote.py": "what programs inherit",
    "podium_retrieval/start.py": "XDG_CACHE_HOME, the folder of every program's caches",
    "podium_retrieval/encoder/devices.py": "shown in an error message",
}


def named(path: Path, names: set[str]) -> int:
    """How often a module names one of these, as a call or as a value."""
    return sum(ast.unparse(n) in names for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute))


def test_every_wait_in_eval_takes_the_clock() -> None:
    found = {str(path.relative_to(EVAL)): named(path, WAITS) for path in EVAL.rglob("*.py")}
    assert Counter({name: n for name, n in found.items() if n and name != CLOCK_ITSELF}) == WAITS_WITHOUT_A_CLOCK


@pytest.mark.parametrize("package", EDGES)
def test_only_the_edge_reads_the_environment(package: str) -> None:
    folder = ROOT / package
    for path in folder.rglob("*.py"):
        inside = str(path.relative_to(folder))
        allowed = inside.startswith(EDGES[package]) or f"{folder.name}/{inside}" in ENVIRONMENT_BELOW
        reads = named(path, {"os.environ", "os.getenv", "os.environb"})
        assert allowed or not reads, f"{package}/{inside} reads the environment: hand the setting down"
