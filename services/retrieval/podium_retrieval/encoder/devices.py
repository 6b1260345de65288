"""What this machine offers: cores, bf16, GPUs."""

import os
from pathlib import Path
from typing import Final

import torch

from podium_retrieval.errors import StartError

_BF16_FLAGS: Final = frozenset({"avx512_bf16", "amx_bf16"})


def cores() -> int:
    """Cores that this process may use: its affinity, cut by a container's quota."""
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            count = min(count, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass  # no cgroup v2, no quota
    return count


def resolve_device(wanted: str, setting: str, *, gpus: int) -> str:
    """`cpu` or `cuda:N` for a setting's value.

    gpus: how many the library in question can use.

    Raises:
        StartError: the value is none of auto, cpu, cuda, cuda:N, or names a GPU that is not there.
    """
    if wanted == "auto":
        return "cuda:0" if gpus else "cpu"
    if wanted == "cpu":
        return wanted
    kind, _, number = wanted.partition(":")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise StartError(f"{setting}={wanted} is none of auto, cpu, cuda, cuda:N")
    ordinal = int(number or 0)
    if ordinal >= gpus:
        raise StartError(
            f"{setting}={wanted}, but {gpus or 'no'} GPU{'s are' if gpus > 1 else ' is'} usable here "
            f"(CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'unset')})"
        )
    return f"cuda:{ordinal}"


def resolve_dtype(wanted: str, device: str) -> str:
    """A torch dtype's name: `auto` is float16 on a GPU, bfloat16 on a CPU that computes in it, else float32."""
    if wanted != "auto":
        return wanted
    if device.startswith("cuda"):
        return "float16"
    return "bfloat16" if _cpu_has_bf16() else "float32"


def torch_gpus() -> int:
    """GPUs that torch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _cpu_has_bf16() -> bool:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next(line for line in lines if line.startswith("flags"))
    except (OSError, StopIteration):
        return False
    return bool(_BF16_FLAGS & set(flags.split()))
