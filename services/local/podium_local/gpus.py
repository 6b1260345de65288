"""Which GPUs vLLM and retrieval get: the ones set, or those with most memory free; other processes' use is reported.

Memory in use is read from NVML by nvidia-ml-py. That part has met no GPU yet; the choice is tested on data.
"""
# nvidia-ml-py is untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingImports=false, reportAttributeAccessIssue=false

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

AUTO: Final = "auto"
FILLED: Final = 0.1
"""Share of a GPU's memory from which the use by other processes is reported."""
_GB: Final = 1e9


@dataclass(frozen=True, slots=True)
class Gpu:
    """index: as CUDA counts by PCI bus. used and total: bytes. processes: their ids."""

    index: int
    name: str
    used: int
    total: int
    processes: tuple[int, ...] = ()

    @property
    def free(self) -> int:
        return self.total - self.used

    def __str__(self) -> str:
        by = f" by process {', '.join(map(str, self.processes))}" if self.processes else ""
        return f"GPU {self.index} ({self.name}): {self.used / _GB:.1f} of {self.total / _GB:.1f} GB used{by}"


class NoGpus(ValueError):
    """`auto` cannot be kept: the message is one line with the settings to write instead."""


def read_gpus() -> list[Gpu]:
    """Every GPU of this machine, by NVML; none where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        gpus: list[Gpu] = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            processes: tuple[int, ...] = ()
            with suppress(pynvml.NVMLError):  # not everyone may see them
                processes = tuple(process.pid for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle))
            name = pynvml.nvmlDeviceGetName(handle)
            gpus.append(Gpu(index, str(name), int(memory.used), int(memory.total), processes))
        return gpus
    finally:
        pynvml.nvmlShutdown()


def choose(wanted: Mapping[str, str], gpus: Sequence[Gpu]) -> dict[str, str]:
    """Setting to devices, with each `auto` replaced by the freest GPU that no other part names, in the settings' order.

    Raises:
        NoGpus: fewer GPUs than settings.
    """
    named = {part.strip() for value in wanted.values() for part in value.split(",")}
    left = sorted((gpu for gpu in gpus if str(gpu.index) not in named), key=lambda gpu: (-gpu.free, gpu.index))
    chosen: dict[str, str] = {}
    for setting, value in wanted.items():
        parts = [part.strip() for part in value.split(",")]
        if parts.count(AUTO) > len(left):
            left_over = len(left) or "none"
            raise NoGpus(
                f"{setting}={value}: {len(gpus)} GPU(s) here and {left_over} left: name one that is to be shared"
            )
        chosen[setting] = ",".join(str(left.pop(0).index) if part == AUTO else part for part in parts)
    return chosen


def announce(chosen: Mapping[str, str], gpus: Sequence[Gpu]) -> list[str]:
    """A line for each setting's GPU; one for each that other processes fill."""
    by_index = {str(gpu.index): gpu for gpu in gpus}
    lines: list[str] = []
    for setting, value in chosen.items():
        for part in value.split(","):
            gpu = by_index.get(part.strip())
            if gpu is None:
                continue
            filled = gpu.used > FILLED * gpu.total
            lines.append(f"{setting}={value}: {gpu}" + ("; a model may not fit beside that" if filled else ""))
    return lines


def with_gpus(
    environment: Mapping[str, str], say: Callable[[str], None], read: Callable[[], list[Gpu]] = read_gpus
) -> dict[str, str]:
    """The values of ORCHESTRATOR_GPU and RETRIEVAL_GPU; prints the GPUs and what else uses them.

    Raises:
        NoGpus: see choose.
    """
    names = ("ORCHESTRATOR_GPU", "RETRIEVAL_GPU")
    wanted = {name: environment[name].strip() for name in names if environment.get(name, "").strip()}
    if not wanted:
        return {}
    gpus = read()
    chosen = choose(wanted, gpus)
    for line in announce(chosen, gpus):
        say(line)
    # NVML counts by PCI bus, CUDA by speed unless CUDA_DEVICE_ORDER is set.
    return chosen | ({} if os.environ.get("CUDA_DEVICE_ORDER") else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
