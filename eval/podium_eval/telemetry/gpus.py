"""What NVML tells of the run's GPUs: use, memory, power, clock. A value that the driver does not give is left out."""

# nvidia-ml-py is untyped.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportMissingImports=false, reportAttributeAccessIssue=false

import asyncio
import importlib
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from podium_eval.clock import Clock

ALL: Final = "all"
_MIB: Final = 2**20
_log = logging.getLogger(__name__)
Readings = list[dict[str, Any]]


class Nvml:
    """A reader of GPUs. wanted: their NVML indexes or UUIDs; empty: all that the driver shows.

    Called from one thread at a time. The library is loaded at the first call; without it, or without a driver, there
    are no readings.
    """

    def __init__(self, wanted: tuple[str, ...] = ()) -> None:
        self._wanted = wanted
        self._library: Any = None
        self._devices: list[tuple[dict[str, Any], Any]] | None = None

    def __call__(self) -> Readings:
        """One object a GPU: index, uuid, name, util_pct, memory_used_mib, memory_total_mib, power_w, sm_mhz."""
        if self._devices is None:
            self._devices = self._open()
        return [{**names, **self._values(handle)} for names, handle in self._devices]

    def _open(self) -> list[tuple[dict[str, Any], Any]]:
        try:
            self._library = nvml = importlib.import_module("pynvml")
        except ImportError:
            return []  # no NVML on this system
        try:
            nvml.nvmlInit()
            number = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            if error.value not in (nvml.NVML_ERROR_LIBRARY_NOT_FOUND, nvml.NVML_ERROR_DRIVER_NOT_LOADED):
                _log.warning("GPUs are not sampled: NVML: %s", error)
            return []
        devices: list[tuple[dict[str, Any], Any]] = []
        for index in range(number):
            try:
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
            except nvml.NVMLError as error:
                _log.warning("GPU %d is not sampled: NVML: %s", index, error)
                continue
            names: dict[str, Any] = {"index": index}
            for key, ask in (("uuid", nvml.nvmlDeviceGetUUID), ("name", nvml.nvmlDeviceGetName)):
                with suppress(nvml.NVMLError):
                    names[key] = str(ask(handle))
            if not self._wanted or {str(index), names.get("uuid")} & set(self._wanted):
                devices.append((names, handle))
        if self._wanted and len(devices) < len(self._wanted):
            _log.warning(
                "SAMPLE_GPUS=%s: NVML shows %d GPUs, and %d of those named",
                ",".join(self._wanted),
                number,
                len(devices),
            )
        return devices

    def _values(self, handle: Any) -> dict[str, Any]:
        nvml, values = self._library, dict[str, Any]()
        with suppress(nvml.NVMLError):
            values["util_pct"] = int(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        with suppress(nvml.NVMLError):
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            values["memory_used_mib"] = round(memory.used / _MIB, 1)
            values["memory_total_mib"] = round(memory.total / _MIB, 1)
        with suppress(nvml.NVMLError):
            values["power_w"] = nvml.nvmlDeviceGetPowerUsage(handle) / 1000
        with suppress(nvml.NVMLError):
            values["sm_mhz"] = int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))
        return values


def gpu_reader(setting: str) -> Nvml | None:
    """The reader that SAMPLE_GPUS asks for: `all`, `none`, or indexes and UUIDs separated by commas."""
    names = tuple(part.strip() for part in setting.split(",") if part.strip())
    if not names or names == ("none",):
        return None
    return Nvml(() if names == (ALL,) else names)


class GpuProbe:
    """Reads in a thread of its own. A driver that hangs costs readings, neither the run nor its end."""

    def __init__(self, read: Callable[[], Readings], clock: Clock) -> None:
        self._read = read
        self._clock = clock
        self._pending: asyncio.Future[Readings] | None = None

    async def sample(self, wait_s: float) -> Readings:
        """The readings; empty without a GPU, or when NVML has not answered after wait_s."""
        if self._pending is None:
            loop = asyncio.get_running_loop()
            self._pending = loop.create_future()
            threading.Thread(target=self._work, args=(loop, self._pending), name="nvml", daemon=True).start()
        try:
            async with self._clock.timeout(wait_s):
                readings = await asyncio.shield(self._pending)
        except TimeoutError:
            return []
        self._pending = None
        return readings

    def _work(self, loop: asyncio.AbstractEventLoop, future: "asyncio.Future[Readings]") -> None:
        try:
            readings = self._read()
        except Exception as error:  # noqa: BLE001 (whatever a driver's library does, the run goes on)
            _log.warning("GPUs are not sampled this time: %r", error)
            readings = []
        with suppress(RuntimeError):  # the loop is gone, and whoever waited with it
            loop.call_soon_threadsafe(lambda: None if future.done() else future.set_result(readings))
