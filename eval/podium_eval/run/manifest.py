"""run.json: what a run is made of. Later segments add themselves, and may not change what the run asks."""

import importlib.metadata
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import orjson
from podium_contracts.events import SCHEMA_VERSION, NewerSchema, check_schema

from podium_eval.clock import Clock, iso
from podium_eval.errors import ConfigError
from podium_eval.files import json_bytes, write_atomically
from podium_eval.log.redact import Redactor
from podium_eval.models.build import Models
from podium_eval.run.plan import Plan
from podium_eval.settings.read import Settings, shown

_log = logging.getLogger(__name__)

_PACKAGES: Final = (
    "podium-eval",
    "podium-contracts",
    "openai",
    "aiohttp",
    "httpx",
    "uvloop",
    "orjson",
    "pydantic",
    "python-json-logger",
    "tenacity",
)


class OtherRun(ValueError):
    """The folder holds a run of other questions or another protocol; the message says what differs."""


@dataclass(slots=True)
class Manifest:
    """fields: run.json's keys. segment: the one that this process is."""

    path: Path
    fields: dict[str, Any]
    redactor: Redactor

    @property
    def segment(self) -> int:
        return len(self.fields["segments"])

    def end(self, ts: str, reason: str) -> None:
        """Note how this segment ended."""
        self.fields["segments"][-1] |= {"ended_ts": ts, "reason": reason}
        self.write()

    def write(self) -> None:
        """Replace run.json, secrets redacted.

        Raises:
            OSError: it cannot be written.
        """
        write_atomically(self.path, self.redactor.data(json_bytes(self.fields, indent=True)))


def open_manifest(path: Path, fields: Mapping[str, Any], *, ts: str, redactor: Redactor) -> Manifest:
    """Begin a segment: a new run.json, or the one that is there with what this start knows better.

    `fields` has every key of run.json but schema_version, created_ts, segments and those about the machine.

    Raises:
        OtherRun: the run that is there has another dataset or protocol, or was written by a newer Podium.
        OSError: the folder cannot be read or written.
    """
    segment = {"n": 1, "started_ts": ts, "ended_ts": None, "reason": None}
    old: dict[str, Any] = {}
    if path.exists():
        try:
            old = cast("dict[str, Any]", json.loads(path.read_bytes()))
            check_schema(int(old["schema_version"]))
            segments = list(old["segments"])
        except NewerSchema as error:
            raise OtherRun(f"{path}: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise OtherRun(f"{path} is no run.json ({error}): move the folder away, or set another RUN_ID") from error
        _same(path, old, fields)
        segment["n"] = len(segments) + 1
    else:
        segments = []
    made = {
        "run_id": fields["run_id"],
        "schema_version": SCHEMA_VERSION,
        "created_ts": old.get("created_ts", ts),
        **fields,
        "versions": versions(),
        "git_revision": git_revision(),
        "host": host(),
        "gpus": gpus(),
        "segments": [*segments, segment],
    }
    manifest = Manifest(path, made, redactor)
    manifest.write()
    return manifest


def begin_manifest(
    path: Path, settings: Settings, planned: Plan, models: Models, run_id: str, clock: Clock, redactor: Redactor
) -> Manifest:
    """Begin a segment of the run in run.json.

    Raises:
        ConfigError: the run that is there is another one.
        OSError: the folder cannot be read or written.
    """
    dataset = planned.dataset
    fields = {
        "run_id": run_id,
        "protocol": settings.protocol,
        "settings": shown(settings),
        "dataset": {
            "path": dataset.path,
            "sha256": dataset.sha256,
            "n": dataset.n,
            "n_selected": dataset.n_selected,
        },
        "prompts": dict(planned.prompts.hashes),
        "epochs": settings.epochs,
        **models.describe(),
    }
    old: dict[str, Any] = {}
    if path.exists():
        try:
            old = orjson.loads(path.read_bytes())
        except ValueError:
            old = {}
    try:
        manifest = open_manifest(path, fields, ts=iso(clock.wall()), redactor=redactor)
    except OtherRun as error:
        raise ConfigError([str(error)]) from error
    if old and (changed := changed_prompts(old.get("prompts", {}), planned.prompts.hashes)):
        _log.warning("prompts differ from those this run began with: %s", ", ".join(changed))
    return manifest


def next_segment(path: Path) -> int:
    """The number of the segment that a start would be; an unreadable run.json is open_manifest's to refuse."""
    try:
        return len(json.loads(path.read_bytes())["segments"]) + 1
    except (OSError, ValueError, KeyError, TypeError):
        return 1


def _same(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for name, was, now in (
        ("the dataset (sha256)", old["dataset"]["sha256"], new["dataset"]["sha256"]),
        ("PROTOCOL", old["protocol"], new["protocol"]),
        ("EPOCHS", old["epochs"], new["epochs"]),
        ("the orchestrator's model", old["orchestrator"]["model"], new["orchestrator"]["model"]),
    ):
        if was != now:
            raise OtherRun(
                f"{path}: this run was begun with another value of {name}: {was}, now {now}; set another RUN_ID, "
                "or the old value to resume it"
            )


def changed_prompts(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Names of prompt files whose hash is not what it was."""
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))


def versions() -> dict[str, str]:
    """Of Python and the packages that a measurement depends on."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_revision() -> str | None:
    """GIT_REVISION where the image was built with it, else the checkout's own; None without either."""
    if built := os.environ.get("GIT_REVISION"):
        return built
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
