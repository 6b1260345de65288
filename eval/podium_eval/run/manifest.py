"""run.json: what a run is made of. Later segments add themselves, and may not change what the run asks."""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
from podium_contracts.events import SCHEMA_VERSION, NewerSchema, RunStart, check_schema
from podium_contracts.files import write_atomically

from podium_eval.clock import Clock, iso
from podium_eval.errors import ConfigError
from podium_eval.files import decoded, json_bytes
from podium_eval.log.machine import git_revision, gpus, host, versions
from podium_eval.log.redact import Redactor
from podium_eval.models.models import Models
from podium_eval.run.plan import Plan
from podium_eval.settings.described import changed_settings, secret_marks
from podium_eval.settings.read import Settings, shown

_log = logging.getLogger(__name__)


class OtherRun(ValueError):
    """The folder holds a run of other questions or another protocol; the message names what differs."""


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
    old = _earlier(path)
    segments: list[Any] = []
    if old is not None:
        _same(path, old, fields)
        segments = old.segments
    segment = {"n": len(segments) + 1, "started_ts": ts, "ended_ts": None, "reason": None}
    made = {
        "run_id": fields["run_id"],
        "schema_version": SCHEMA_VERSION,
        "created_ts": ts if old is None else old.created_ts or ts,
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
    path: Path,
    settings: Settings,
    planned: Plan,
    models: Models,
    run_id: str,
    clock: Clock,
    redactor: Redactor,
    *,
    added: Sequence[Mapping[str, str]] = (),
) -> Manifest:
    """Begin a segment of the run in run.json.

    Raises:
        ConfigError: the run that is there is another one.
        OSError: the folder cannot be read or written.
    """
    dataset = planned.dataset
    fields: dict[str, Any] = {
        "run_id": run_id,
        "benchmark": planned.benchmark.describe(),
        "protocol": planned.grading.name,
        "settings": shown(settings),
        "changed_settings": changed_settings(settings),
        "secrets": secret_marks(settings),
        "dataset": {
            "path": dataset.path,
            "version": dataset.version,
            "sha256": dataset.sha256,
            "n": dataset.n,
            "n_selected": dataset.n_selected,
        },
        "prompts": dict(planned.prompts.hashes),
        "added_tools": list(added),
        "epochs": settings.epochs,
        **models.describe(),
    }
    if settings.serve_model:
        fields["orchestrator"]["checkpoint"] = settings.serve_model
    try:
        old = _earlier(path)
        manifest = open_manifest(path, fields, ts=iso(clock.wall()), redactor=redactor)
    except OtherRun as error:
        raise ConfigError([str(error)]) from error
    changed = [] if old is None or not old.prompts else changed_prompts(old.prompts, planned.prompts.hashes)
    if changed:
        _log.warning("prompts differ from those this run began with: %s", ", ".join(changed))
    return manifest


def next_segment(path: Path) -> int:
    """The number of the segment that a start would be; a run.json that cannot be read is begin_manifest's to refuse."""
    try:
        old = _earlier(path)
    except (OSError, OtherRun):
        return 1
    return 1 if old is None else len(old.segments) + 1


class _Dataset(msgspec.Struct):
    sha256: str


class _Benchmark(msgspec.Struct, frozen=True):
    """Older runs name none: they are of HLE."""

    name: str = "hle"


class _Model(msgspec.Struct):
    model: str


class _Earlier(msgspec.Struct):
    """What a start may not change of a run, and what it adds to. epochs None: not known."""

    schema_version: int
    protocol: str
    dataset: _Dataset
    orchestrator: _Model
    segments: list[dict[str, Any]]
    epochs: int | None = None
    prompts: dict[str, str] = {}
    benchmark: _Benchmark = _Benchmark()
    created_ts: str | None = None


_EARLIER: Final = msgspec.json.Decoder(_Earlier)
_RUN_START: Final = msgspec.json.Decoder(RunStart)


def _earlier(path: Path) -> _Earlier | None:
    """The run that the folder holds, from run.json or, where that is gone, from the log; None for a new one."""
    if not path.exists():
        return _logged(path.parent / "events.jsonl")
    try:
        old = decoded(_EARLIER, path.read_bytes())
        check_schema(old.schema_version)
    except NewerSchema as error:
        raise OtherRun(f"{path}: {error}") from error
    except ValueError as error:
        raise OtherRun(f"{path} is no run.json ({error}): move the folder away, or set another RUN_ID") from error
    return old


def _logged(events: Path) -> _Earlier | None:
    starts: list[RunStart] = []
    if events.exists():
        with events.open("rb") as lines:
            for line in lines:
                if line.startswith(b'{"type":"run_start"'):
                    with contextlib.suppress(ValueError):
                        starts.append(decoded(_RUN_START, line))
    if not starts:
        return None
    first = starts[0]
    return _Earlier(
        schema_version=first.schema_version,
        protocol=first.protocol,
        dataset=_Dataset(first.dataset_sha256),
        orchestrator=_Model(first.orchestrator_model),
        segments=[{"n": n, "started_ts": None, "ended_ts": None, "reason": None} for n, _ in enumerate(starts, 1)],
    )


def _same(path: Path, old: _Earlier, new: Mapping[str, Any]) -> None:
    for name, was, now in (
        ("the dataset (sha256)", old.dataset.sha256, new["dataset"]["sha256"]),
        ("BENCHMARK", old.benchmark.name, new.get("benchmark", {}).get("name", "hle")),
        ("PROTOCOL", old.protocol, new["protocol"]),
        ("EPOCHS", old.epochs, new["epochs"]),
        ("the orchestrator's model", old.orchestrator.model, new["orchestrator"]["model"]),
    ):
        if was is not None and was != now:
            raise OtherRun(
                f"{path}: this run was begun with another value of {name}: {was}, now {now}; set another RUN_ID, "
                "or the old value to resume it"
            )


def changed_prompts(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Names of prompt files whose hash is not what it was."""
    return sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
