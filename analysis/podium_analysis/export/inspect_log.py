"""podium-analysis export-inspect: a run as a log of inspect_ai, for its viewer and its reader.

Written from inspect_ai's documented log format (version 2: one JSON document, or the same split into the members of a
zip named .eval), without inspect_ai: a reader of Podium's runs need not install it, and records are written one at a
time. That its own reader and viewer open the result is tested against inspect_ai itself.
"""

import argparse
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import quote

import orjson
from podium_contracts.events import NewerSchema
from podium_contracts.files import replacing

from podium_analysis.export.inspect_sample import SCORER, sample, summary
from podium_analysis.export.inspect_turn import add_usage
from podium_analysis.load.event_table import LoadError
from podium_analysis.load.find import run_folder
from podium_analysis.load.records import BadRecord
from podium_analysis.load.run_data import RunData, load_run
from podium_analysis.scoring.judges import run_score

LOG_VERSION: Final = 2
PLAN: Final[dict[str, Any]] = {
    "name": "podium",
    "steps": [{"solver": "podium_episode", "params": {}, "params_passed": {}}],
    "config": {},
}


@dataclass(slots=True)
class _Totals:
    """Sums over the samples, known when the last one is written. completed_at: the last task's end, ISO 8601 in UTC."""

    usage: dict[str, Any] = field(default_factory=dict[str, Any])
    completed_at: str = ""


def export_inspect(run: RunData, out: Path, bad: list[BadRecord] | None = None) -> int:
    """Write `out` (.eval or .json) and return its number of samples. Unreadable records go to `bad`, or raise.

    Raises:
        ValueError: `out` has another ending, or a record is unreadable and `bad` is None.
    """
    if out.suffix not in (".eval", ".json"):
        raise ValueError(f"{out}: inspect_ai's logs end in .eval or .json")
    out.parent.mkdir(parents=True, exist_ok=True)
    totals = _Totals()
    write = _write_eval if out.suffix == ".eval" else _write_json
    with replacing(out) as temporary, temporary.open("wb") as sink:
        return write(run, _samples(run, totals, bad), totals, sink)


def _samples(run: RunData, totals: _Totals, bad: list[BadRecord] | None) -> Iterator[dict[str, Any]]:
    model = _model(run.manifest)
    settings = _mapping(run.manifest.get("settings"))
    max_rounds = settings.get("max_rounds")
    for record in run.records(bad):
        if record.status == "skipped":
            continue
        found = sample(record, orchestrator=model, max_rounds=max_rounds if isinstance(max_rounds, int) else None)
        for name, more in found["model_usage"].items():
            add_usage(totals.usage.setdefault(name, {}), more)
        totals.completed_at = max(totals.completed_at, record.finished_ts)
        yield found


def _write_eval(run: RunData, samples: Iterator[dict[str, Any]], totals: _Totals, sink: Any) -> int:
    spec = _spec(run)
    summaries: list[dict[str, Any]] = []
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        archive.writestr("_journal/start.json", orjson.dumps({"version": LOG_VERSION, "eval": spec, "plan": PLAN}))
        for found in samples:
            # The reader asks for this very name, ids with a slash or a dot included; nothing is unpacked to disk.
            archive.writestr(f"samples/{found['id']}_epoch_{found['epoch']}.json", _dumps(found))
            summaries.append(summary(found))
        archive.writestr("summaries.json", _dumps(summaries))
        archive.writestr("header.json", _dumps(_header(run, spec, totals, len(summaries))))
    return len(summaries)


def _write_json(run: RunData, samples: Iterator[dict[str, Any]], totals: _Totals, sink: Any) -> int:
    """The header comes first, for readers that want it alone; its sums are known last: samples wait in a spool."""
    n = 0
    with tempfile.TemporaryFile() as spool:
        for found in samples:
            spool.write((b",\n" if n else b"\n") + _dumps(found))
            n += 1
        sink.write(_dumps(_header(run, _spec(run), totals, n))[:-1] + b',"samples":[')
        spool.seek(0)
        shutil.copyfileobj(spool, sink)
        sink.write(b"\n]}\n")
    return n


def _header(run: RunData, spec: Mapping[str, Any], totals: _Totals, n: int) -> dict[str, Any]:
    finished = run.ended and run.segments[-1].reason == "finished"
    return {
        "version": LOG_VERSION,
        "status": "success" if finished else "cancelled" if run.ended else "started",
        "eval": spec,
        "plan": PLAN,
        "results": _results(run, n),
        "stats": {
            "started_at": run.manifest.get("created_ts") or "",
            "completed_at": totals.completed_at,
            "model_usage": totals.usage,
        },
    }


def _results(run: RunData, n: int) -> dict[str, Any]:
    """Podium's own figures, shares of 1 as inspect_ai shows them. accuracy is the official one: ungraded is wrong."""
    found = run_score(run)
    metrics: dict[str, Any] = {}
    if found.accuracy is not None and found.half_width is not None:
        metrics["accuracy"] = {"name": "accuracy", "value": found.accuracy / 100, "params": {}}
        low, high = found.clustered or (0.0, 2 * found.half_width)
        metrics["half_width_95"] = {"name": "half_width_95", "value": (high - low) / 200, "params": {}}
    if found.accuracy_graded.value is not None:
        metrics["accuracy_graded"] = {
            "name": "accuracy_graded", "value": found.accuracy_graded.value / 100, "params": {},
        }  # fmt: skip
    graded = found.n_right + found.n_wrong + found.n_unanswered
    return {
        "total_samples": found.n,
        "completed_samples": n,
        "scores": [
            {
                "name": SCORER,
                "scorer": SCORER,
                "scored_samples": graded,
                "unscored_samples": found.n - graded,
                "params": {},
                "metrics": metrics,
            }
        ],
    }


def _spec(run: RunData) -> dict[str, Any]:
    manifest = run.manifest
    dataset = _mapping(manifest.get("dataset"))
    settings = _mapping(manifest.get("settings"))
    orchestrator = _mapping(manifest.get("orchestrator"))
    spec: dict[str, Any] = {
        "eval_id": run.run_id,
        "run_id": run.run_id,
        "created": manifest.get("created_ts") or "1970-01-01T00:00:00+00:00",
        "task": f"podium/{manifest.get('protocol') or 'run'}",
        "task_id": run.run_id,
        "task_version": 0,
        "task_attribs": {},
        "task_args": {},
        "solver": "podium_episode",
        "dataset": {"name": Path(str(dataset.get("path") or "dataset")).name, "samples": dataset.get("n_selected")},
        "model": _model(manifest),
        "model_base_url": orchestrator.get("url"),
        "model_args": {},
        "config": {"epochs": manifest.get("epochs") or 1, "max_samples": settings.get("concurrency")},
        "packages": {str(k): str(v) for k, v in _mapping(manifest.get("versions")).items()},
        "metadata": {
            name: manifest[name] for name in ("protocol", "prompts", "experts", "judge", "dataset") if name in manifest
        },
    }
    if manifest.get("git_revision"):
        spec["revision"] = {"type": "git", "origin": "", "commit": str(manifest["git_revision"])}
    return spec


def _model(manifest: Mapping[str, Any]) -> str:
    orchestrator = _mapping(manifest.get("orchestrator"))
    return f"{orchestrator.get('provider') or 'vllm'}/{orchestrator.get('model') or 'orchestrator'}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)


def viewer_hint(out: Path) -> str:
    """How to look at the log."""
    return f"inspect view --log-dir {quote(str(out.parent))}"


def register(subparsers: Any) -> None:
    """Add `export-inspect` to podium-analysis."""
    parser = subparsers.add_parser("export-inspect", help="a run as a log that inspect_ai's viewer and reader open")
    parser.add_argument("run", metavar="RUN", help="a run's id or folder")
    parser.add_argument("-o", "--out", type=Path, required=True, help="FILE.eval (small, opens fast) or FILE.json")
    parser.set_defaults(handler=run)


def run(args: argparse.Namespace) -> int:
    """0, or 2 when the run cannot be read or the file not written. Records that are left out are named."""
    bad: list[BadRecord] = []
    try:
        with load_run(run_folder(args.run)) as data:
            n = export_inspect(data, args.out, bad)
    except (LoadError, NewerSchema, OSError, ValueError) as error:
        print(f"podium-analysis export-inspect: {error}", file=sys.stderr)
        return 2
    for record in bad:
        print(f"podium-analysis export-inspect: tasks/{record.file} left out: {record.reason}", file=sys.stderr)
    print(f"{args.out}: {n:,} samples; {viewer_hint(args.out)}")
    return 0
