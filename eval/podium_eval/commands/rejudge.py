"""`podium-eval rejudge`: builds a rejudge from the settings and reports its result."""

import json
import logging
from functools import partial
from pathlib import Path
from typing import Any, cast

import orjson
from podium_contracts.events import RunEnd, RunStart
from podium_contracts.names import ALIASES
from podium_contracts.records import REJUDGE_LOG

from podium_eval.benchmarks.choose import choose
from podium_eval.clock import SYSTEM_CLOCK
from podium_eval.commands.session import in_folder, terminal
from podium_eval.errors import ConfigError
from podium_eval.grading.grader import build_judges
from podium_eval.grading.protocol import GradingProtocol
from podium_eval.log.event_log import EventLog
from podium_eval.log.redact import Redactor, secrets_of
from podium_eval.log.set_up import open_log
from podium_eval.log.writer import LogWriter
from podium_eval.prompts.prompt_file import PromptError
from podium_eval.run.folder import RunFolder
from podium_eval.run.plan import stopping_models
from podium_eval.run.rejudge import Rejudge, Tally
from podium_eval.run.runner import WorkerPool
from podium_eval.run.stop import Stop, stopped_by_signals
from podium_eval.settings.models import expert_variable
from podium_eval.settings.read import Settings

_log = logging.getLogger("podium_eval.rejudge")


async def rejudge(settings: Settings) -> int:
    """Exit status: 0 every answer has a grade of this judge, 1 some have not.

    Raises:
        ConfigError: RUN_ID names no run, the run is on, or the judge is not configured.
    """
    if settings.run_id is None:
        raise ConfigError(["RUN_ID is not set: name the run whose answers are to be graded again"])
    path = settings.runs_dir / settings.run_id
    manifest = _manifest(path)
    redactor = Redactor(secrets_of(settings))
    return await in_folder(path, redactor, lambda folder: _logged(settings, folder, manifest, redactor))


async def _logged(settings: Settings, folder: RunFolder, manifest: dict[str, Any], redactor: Redactor) -> int:
    stop = Stop()
    log = folder.path / REJUDGE_LOG
    segment = _segments(log) + 1
    broken = partial(stop.cannot_write, log)
    async with open_log(log, folder.log, redactor=redactor, terminal=terminal(), broken=broken) as writer:
        with stopped_by_signals(stop, settings.grace_s):
            return await _judged(settings, folder, manifest, writer, segment, stop)


async def _judged(
    settings: Settings, folder: RunFolder, manifest: dict[str, Any], writer: LogWriter, segment: int, stop: Stop
) -> int:
    clock = SYSTEM_CLOCK
    sink = EventLog(writer, level=settings.log_level, clock=clock)
    ids: dict[str, Any] = {"run_id": folder.path.name, "segment": segment}
    grading = _grading(settings, manifest)
    models = stopping_models(_judge_alone(settings), sink, ids, stop, clock)
    try:
        graders = build_judges(settings, models.judges, sink, clock, grading)
        n = sum(1 for _ in folder.tasks.glob("*.json"))
        sink.emit(
            RunStart(
                **ids,
                protocol=grading.name,
                concurrency=settings.concurrency,
                max_rounds=settings.max_rounds,
                n_tasks=n,
                n_finished=0,
                dataset_sha256=str(manifest.get("dataset", {}).get("sha256", "")),
                orchestrator_model=str(manifest.get("orchestrator", {}).get("model", "")),
            )
        )
        _log.info(
            "[REJUDGE] run %s: %d tasks, judge %s, protocol %s",
            *(folder.path.name, n, ", ".join(grader.judge for grader in graders), grading.name),
        )
        began = clock.mono()
        work = Rejudge(
            folder,
            graders,
            WorkerPool(stop, folder.path, concurrency=settings.concurrency, grace_s=settings.grace_s, clock=clock),
            segment=segment,
            max_words=settings.answer_max_words,
        )
        tally = await work.run()
        sink.emit(
            RunEnd(
                **ids,
                reason=stop.reason or "finished",
                duration_ms=(clock.mono() - began) * 1000,
                n_done=tally.graded + tally.already,
                n_error=len(tally.failed),
                n_skipped=tally.no_answer,
                n_left=tally.left + tally.resume,
            )
        )
        if not await sink.end():
            return 1
    except PromptError as error:
        raise ConfigError([str(error)]) from error
    finally:
        await models.aclose()
    return _said(tally, stop)


def _said(tally: Tally, stop: Stop) -> int:
    cost = "unknown" if tally.usd is None else f"{tally.usd:.4f} USD"
    if tally.n_unpriced:
        cost += f" ({tally.n_unpriced} calls without a price)"
    _log.info(
        "[REJUDGE_END] right=%d wrong=%d changed=%d unanswered=%d already=%d no_answer=%d ungraded=%d left=%d cost=%s",
        *(tally.right, tally.wrong, tally.changed, tally.unanswered, tally.already, tally.no_answer),
        *(len(tally.failed), tally.left, cost),
    )
    if tally.resume:
        _log.warning(
            "%d answers were left ungraded by this judge in the run itself: resume the run, it asks only the judge",
            tally.resume,
        )
    if tally.failed:
        _log.error("ungraded: %s; the same command asks again", ", ".join(tally.failed[:50]))
    if stop.message is not None:
        _log.error("stopped: %s", stop.message)
    return 0 if not (tally.failed or tally.left or tally.resume) else 1


def _grading(settings: Settings, manifest: dict[str, Any]) -> GradingProtocol:
    """The protocol that is set, of the run's own benchmark."""
    benchmark = choose(settings.benchmark)
    about: dict[str, Any] = manifest.get("benchmark") or {}
    name = str(about.get("name", "hle"))
    if name != benchmark.name:
        raise ConfigError([f"RUN_ID={settings.run_id} is a run of {name}: set BENCHMARK={name} to grade it again"])
    return benchmark.grading(settings.protocol)


def _judge_alone(settings: Settings) -> Settings:
    """The same settings without experts, which need neither keys nor addresses to be right for a rejudge."""
    if not settings.judges:
        raise ConfigError(["JUDGE is not set: the model that grades, such as openai/o3-mini-2025-01-31"])
    experts = {expert_variable(alias).lower(): None for alias in ALIASES}
    return settings.model_copy(update={**experts, "expert_default": settings.judges[0], "orchestrator_tokenizer": None})


def _manifest(path: Path) -> dict[str, Any]:
    try:
        raw: Any = orjson.loads((path / "run.json").read_bytes())
    except FileNotFoundError as error:
        raise ConfigError([f"{path} is no run: it has no run.json; set RUNS_DIR and RUN_ID"]) from error
    except ValueError as error:
        raise ConfigError([f"{path}/run.json is no JSON: {error}"]) from error
    return cast("dict[str, Any]", raw) if isinstance(raw, dict) else {}


def _segments(log: Path) -> int:
    """Rejudges that the log has already seen."""
    if not log.exists():
        return 0
    with log.open("rb") as lines:
        return max((_segment(line) for line in lines if line.startswith(b'{"type":"run_start"')), default=0)


def _segment(line: bytes) -> int:
    try:
        return int(json.loads(line).get("segment", 0))
    except ValueError:
        return 0
