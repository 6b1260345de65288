"""Puts a run together from its settings, runs it, and says how it ended. 0: all graded, 1: not all."""

import asyncio
import errno
import gc
import logging
import os
import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from podium_contracts.events import RunEnd, RunStart
from rich.console import Console

from podium_eval.clock import Clock, SystemClock, iso
from podium_eval.commands.check import Subject, check, files, show
from podium_eval.dataset.hub import load_dataset
from podium_eval.dataset.load import Dataset
from podium_eval.dataset.selection import DatasetError, Selection, read_ids
from podium_eval.episode.loop import EpisodeLoop
from podium_eval.episode.task import Task, task_complete
from podium_eval.episode.tool_turns import ToolTurns
from podium_eval.errors import ConfigError
from podium_eval.grading.grader import build_grader
from podium_eval.log.console import ConsoleHandler
from podium_eval.log.event_log import EventLog, LogBroken, LogWriter
from podium_eval.log.meter import Meter
from podium_eval.log.monitor import Monitor
from podium_eval.log.progress import Reporter
from podium_eval.log.redact import Redactor, secrets_of
from podium_eval.log.sampler import Sampler
from podium_eval.log.sink import Discard
from podium_eval.models.build import Models, build_models
from podium_eval.prompts.judge_prompt import BadPrompt
from podium_eval.prompts.templates import PromptError, Prompts, load_prompts
from podium_eval.run.budget import Budget
from podium_eval.run.build import build_budget
from podium_eval.run.checkpoint import Checkpoints
from podium_eval.run.endings import Endings
from podium_eval.run.folder import RunFolder, RunLocked, Saved
from podium_eval.run.manifest import Manifest, OtherRun, changed_prompts, next_segment, open_manifest
from podium_eval.run.runner import RunIds, Runner
from podium_eval.run.stop import Stop, unwatch_signals, watch_signals
from podium_eval.settings.read import Settings, shown
from podium_eval.tools.retrieval_client import RetrievalClient
from podium_eval.tools.sandbox_client import SandboxClient
from podium_eval.tools.specs import ToolSpecs, load_tool_specs
from podium_eval.tools.toolbox import make_toolbox
from podium_eval.transport.circuit_breaker import Breaker, BreakerLimits

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run asks, read and checked before anything is written."""

    dataset: Dataset
    prompts: Prompts


def selection_of(settings: Settings) -> Selection:
    """The settings' choice of questions. IDS is a file where one of that name is there, else ids themselves."""
    ids: tuple[str, ...] | None = None
    if settings.ids is not None:
        path = Path(settings.ids)
        try:
            there = path.is_file()
        except (OSError, ValueError):
            there = False
        ids = read_ids(path) if there else tuple(part.strip() for part in settings.ids.split(",") if part.strip())
    return Selection(
        text_only=settings.text_only,
        categories=_listed(settings.category),
        answer_types=_listed(settings.answer_type),
        ids=ids,
        shuffle_seed=settings.shuffle,
        limit=settings.limit,
    )


def _listed(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())


def plan(settings: Settings) -> Plan:
    """Read the dataset and the prompts.

    Raises:
        ConfigError: all that is wrong with them.
    """
    problems: list[str] = []
    dataset: Dataset | None = None
    prompts: Prompts | None = None
    if settings.dataset is None:
        problems.append("DATASET is not set: name a .jsonl or .parquet file of questions, or hub:owner/name")
    else:
        try:
            dataset = load_dataset(settings.dataset, selection_of(settings), settings)
        except DatasetError as error:
            problems.append(str(error))
    try:
        prompts = load_prompts(settings.prompts_dir, settings.tools_file)
    except PromptError as error:
        problems.append(str(error))
    if problems or dataset is None or prompts is None:
        raise ConfigError(problems)
    return Plan(dataset, prompts)


def tool_specs(prompts: Prompts, models: Models, settings: Settings) -> tuple[ToolSpecs, ToolSpecs | None]:
    """The tools of a task, and of one with an image (only experts that see; None when no answer expert does).

    Raises:
        ConfigError: tools.json cannot be used with the configured experts.
    """
    names = {alias: chat.model for alias, chat in models.experts.items()}
    seeing = {alias: name for alias, name in names.items() if models.experts[alias].vision}
    try:
        everyone = load_tool_specs(prompts, names, settings.tool_model_aliases)
    except PromptError as error:
        raise ConfigError([str(error)]) from error
    sees = any(alias in seeing for alias in everyone.aliases_of("answer"))
    return everyone, everyone.only(frozenset(seeing)) if sees else None


async def checked(settings: Settings, console: Console) -> bool:
    """`podium-eval check`: print the table; whether a run may start.

    Raises:
        ConfigError: the settings, the dataset or the prompts are wrong.
    """
    problems: list[str] = []
    planned: Plan | None = None
    models: Models | None = None
    try:
        planned = plan(settings)
    except ConfigError as error:
        problems += error.problems
    async with AsyncExitStack() as stack:
        try:
            models = build_models(
                settings,
                Discard(),
                ids={"run_id": "check"},
                concurrency=settings.concurrency,
            )
            stack.push_async_callback(models.aclose)
        except ConfigError as error:
            problems += error.problems
        if planned is None or models is None:
            raise ConfigError(problems)
        specs, _ = tool_specs(planned.prompts, models, settings)
        n = planned.dataset.n_selected
        console.print(
            f"dataset: {planned.dataset.path}: {n} of {planned.dataset.n} questions, ids unique", markup=False
        )
        findings = await check(
            Subject(
                settings=settings,
                orchestrator_url=settings.orchestrator_url,
                orchestrator_model=settings.orchestrator_model,
                tool_choice=settings.orchestrator_tool_choice,
                orchestrator=models.orchestrator,
                models={**models.experts, "judge": models.judge},
                specs=specs,
                session=models.pool.session,
            )
        )
    return show(findings, console)


async def run(settings: Settings) -> int:
    """`podium-eval run`: the exit status.

    Raises:
        ConfigError: bad configuration; nothing was asked.
    """
    clock = SystemClock()
    planned = plan(settings)
    redactor = Redactor(secrets_of(settings))
    live = Console() if _live(settings) else None
    console = plain_console()
    if settings.check and not await checked(settings, console):
        raise ConfigError(["the check failed (above); repair it, or skip it with --no-check"])
    finding = files(settings.concurrency)
    if finding.status == "failed":
        raise ConfigError([finding.detail])
    run_id = settings.run_id or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = RunFolder(settings.runs_dir / run_id, redactor)
    try:
        folder.acquire()
    except RunLocked as error:
        raise ConfigError([str(error)]) from error
    except OSError as error:
        raise ConfigError([f"RUNS_DIR={settings.runs_dir} cannot be written: {error}"]) from error
    try:
        return await _Segment(settings, planned, folder, run_id, redactor, clock, live).run()
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        print(f"podium-eval: {folder.path}: {'the disk is full' if full else error}", file=sys.stderr)
        return 1
    finally:
        folder.release()


def plain_console() -> Console:
    """A console for tables: as wide as the terminal, and 120 columns where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=120)


def _live(settings: Settings) -> bool:
    return settings.progress == "live" or (settings.progress == "auto" and sys.stdout.isatty())


class _Segment:
    """One start of a run, from the open log to its end."""

    def __init__(
        self,
        settings: Settings,
        planned: Plan,
        folder: RunFolder,
        run_id: str,
        redactor: Redactor,
        clock: Clock,
        live: Console | None,
    ) -> None:
        self.settings = settings
        self.planned = planned
        self.folder = folder
        self.run_id = run_id
        self.redactor = redactor
        self.clock = clock
        self.live = live
        self.stop = Stop()
        self.budget: Budget | None = None

    async def run(self) -> int:
        loop = asyncio.get_running_loop()

        def broken(error: OSError) -> None:
            loop.call_soon_threadsafe(self._disk_failed, error)

        writer = LogWriter(self.folder.events, self.folder.log, redactor=self.redactor, on_failure=broken)
        console = ConsoleHandler(self.redactor, colour="NO_COLOR" not in os.environ, live=self.live)
        logger = logging.getLogger("podium_eval")
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.handlers[:] = [writer, console]
        writer.start()
        # What imports made stays for good: full collections need not walk it while hundreds of tasks run.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 20, 20)
        try:
            return await self._logged(writer)
        finally:
            logger.handlers.clear()
            await asyncio.to_thread(writer.close)

    async def _logged(self, writer: LogWriter) -> int:
        settings, folder = self.settings, self.folder
        if writer.torn_bytes:
            _log.warning("cut %d bytes of an unfinished last line off %s", writer.torn_bytes, folder.events)
        saved = {one.key: one for one in await asyncio.to_thread(lambda: list(folder.saved()))}
        every = [
            self._task(question, epoch)
            for epoch in range(1, settings.epochs + 1)
            for question in self.planned.dataset.questions
        ]
        tasks = [task for task in every if self._to_run(saved.get(task.key))]
        endings = Endings(len(every))
        for task in every:
            if (end := saved.get(task.key)) is not None:
                endings.add(end)
        meter = Meter(
            self.clock,
            total=len(tasks),
            before=len(every) - len(tasks) if not settings.retry_errors else 0,
            spent_usd=sum(one.cost_usd or 0.0 for one in saved.values()),
        )
        self.budget = await asyncio.to_thread(build_budget, settings, meter)
        reporter = Reporter(meter, concurrency=settings.concurrency, heartbeat_s=settings.heartbeat_s, live=self.live)
        observers = (meter.observe, reporter.observe)
        if self.budget is not None:
            observers = (*observers, self.budget.observe)
        sink = EventLog(writer, level=settings.log_level, clock=self.clock, observers=observers)
        self.ids = {"run_id": self.run_id, "segment": next_segment(folder.manifest)}
        async with AsyncExitStack() as stack:
            models = build_models(
                settings,
                sink,
                ids=self.ids,
                concurrency=settings.concurrency,
                auth_failures=settings.auth_failures,
                on_auth_failures=lambda line: self.stop.request("auth_failures", line, "now"),
            )
            stack.push_async_callback(models.aclose)
            await models.learn()
            specs, seeing = tool_specs(self.planned.prompts, models, settings)
            self._refuse_images(every, seeing)
            manifest = self._manifest(models)
            began = self.clock.mono()
            sink.emit(
                RunStart(
                    run_id=self.run_id,
                    segment=manifest.segment,
                    protocol=settings.protocol,
                    concurrency=settings.concurrency,
                    max_rounds=settings.max_rounds,
                    n_tasks=len(every),
                    n_finished=len(every) - len(tasks),
                    dataset_sha256=self.planned.dataset.sha256,
                    orchestrator_model=models.orchestrator.model,
                )
            )
            self._reconcile(sink, manifest.segment, saved)
            _log.info(
                "run %s, segment %d: %d of %d tasks to run, %d at once, in %s",
                *(self.run_id, manifest.segment, len(tasks), len(every), settings.concurrency, folder.path),
            )
            runner = self._runner(
                models, (specs, seeing), tasks, saved, endings, writer, sink, meter, reporter, manifest.segment
            )
            del every, tasks, saved  # the runner lets go of each task that ends
            background = self._background(models, writer, sink, meter, manifest.segment)
            watch_signals(asyncio.get_running_loop(), self.stop, settings.grace_s)
            try:
                with reporter:
                    await runner.run()
            finally:
                unwatch_signals(asyncio.get_running_loop())
                for one in background:
                    one.cancel()
                await asyncio.gather(*background, return_exceptions=True)
            return await self._ended(sink, manifest, endings, began)

    def _task(self, question: Any, epoch: int) -> Task:
        if question.image is None:
            return Task(question, epoch)
        if self.settings.image_questions == "text":
            return Task(question, epoch, image_hidden=True)
        return Task(question, epoch, image=question.image)

    def _to_run(self, before: Saved | None) -> bool:
        if before is None:
            return not self.settings.retry_errors
        return before.status == "error"

    def _refuse_images(self, tasks: Iterable[Task], seeing: ToolSpecs | None) -> None:
        blind = [task.question.id for task in tasks if task.image is not None] if seeing is None else []
        if blind and self.settings.image_questions == "refuse":
            raise ConfigError(
                [
                    f"{len(blind)} questions have an image and no configured answer expert can see (the first: "
                    f"{blind[0]}): configure one, or set TEXT_ONLY=1 or IMAGE_QUESTIONS=skip"
                ]
            )

    def _manifest(self, models: Models) -> Manifest:
        settings, dataset = self.settings, self.planned.dataset
        fields = {
            "run_id": self.run_id,
            "protocol": settings.protocol,
            "settings": shown(settings),
            "dataset": {
                "path": dataset.path,
                "sha256": dataset.sha256,
                "n": dataset.n,
                "n_selected": dataset.n_selected,
            },
            "prompts": dict(self.planned.prompts.hashes),
            "epochs": settings.epochs,
            **models.describe(),
        }
        old: dict[str, Any] = {}
        if self.folder.manifest.exists():
            try:
                old = orjson.loads(self.folder.manifest.read_bytes())
            except ValueError:
                old = {}
        try:
            manifest = open_manifest(self.folder.manifest, fields, ts=iso(self.clock.wall()), redactor=self.redactor)
        except OtherRun as error:
            raise ConfigError([str(error)]) from error
        if old and (changed := changed_prompts(old.get("prompts", {}), self.planned.prompts.hashes)):
            _log.warning("prompts differ from those this run began with: %s", ", ".join(changed))
        return manifest

    def _reconcile(self, sink: EventLog, segment: int, saved: dict[str, Saved]) -> None:
        """Say of tasks whose record was kept but whose event was lost in a crash that they are complete."""
        told: set[tuple[str, int]] = set()
        with self.folder.events.open("rb") as file:
            for line in file:
                if line.startswith(b'{"type":"task_complete"'):
                    try:
                        event = orjson.loads(line)
                        told.add((event["task_id"], event["epoch"]))
                    except (ValueError, KeyError):
                        continue
        for one in saved.values():
            if (one.task_id, one.epoch) not in told:
                record = self.folder.read_record(one.key)
                sink.note(task_complete(record, self.run_id, segment))

    def _runner(
        self,
        models: Models,
        specs: tuple[ToolSpecs, ToolSpecs | None],
        tasks: list[Task],
        saved: dict[str, Saved],
        endings: Endings,
        writer: LogWriter,
        sink: EventLog,
        meter: Meter,
        reporter: Reporter,
        segment: int,
    ) -> Runner:
        settings, clock = self.settings, self.clock
        counter = models.orchestrator_tokens
        limits = replace(breaker_limits(settings), threshold=2)
        try:
            grader = build_grader(settings, models.judge, sink, clock)
        except BadPrompt as error:
            raise ConfigError([str(error)]) from error
        session = models.pool.session
        toolbox = make_toolbox(
            models.experts,
            RetrievalClient(session, settings, Breaker("retrieval", sink, self.ids, limits)),
            SandboxClient(session, settings, Breaker("sandbox", sink, self.ids, limits)),
            grader,
            settings,
            clock,
        )
        tools = ToolTurns(
            toolbox,
            prompts=self.planned.prompts,
            counter=counter,
            prices=models.prices,
            settings=settings,
            clock=clock,
        )
        everyone, seeing = specs
        return Runner(
            ids=RunIds(self.run_id, segment),
            tasks=tasks,
            failed=frozenset(endings.failed),
            endings=endings,
            begun=self._begun(saved),
            folder=self.folder,
            checkpoints=Checkpoints(self.folder.checkpoints, writer, self.redactor),
            sink=sink,
            episodes=EpisodeLoop(
                orchestrator=models.orchestrator,
                tools=tools,
                prompts=self.planned.prompts,
                counter=counter,
                settings=settings,
                tool_choice=settings.orchestrator_tool_choice,
            ),
            grader=grader,
            specs_for=lambda task: everyone if task.image is None else seeing,
            counter=counter,
            settings=settings,
            clock=clock,
            stop=self.stop,
            meter=meter,
            reporter=reporter,
            budget=self.budget,
        )

    def _begun(self, saved: dict[str, Saved]) -> frozenset[str]:
        """Keys with a checkpoint. One whose record was written just before a crash is spent, and goes."""
        keys: set[str] = set()
        for path in self.folder.checkpoints.glob("*.jsonl"):
            if path.stem in saved:
                path.unlink()
            else:
                keys.add(path.stem)
        return frozenset(keys)

    def _background(
        self, models: Models, writer: LogWriter, sink: EventLog, meter: Meter, segment: int
    ) -> list["asyncio.Task[None]"]:
        settings = self.settings
        tasks: list[asyncio.Task[None]] = []
        if settings.monitor:
            monitor = Monitor(self.folder.monitor, meter, writer, self.clock, settings.monitor_interval_s)
            tasks.append(asyncio.create_task(monitor.run(), name="monitor"))
        if settings.sample_interval_s > 0:
            first = settings.orchestrator_url.split(",")[0].strip().rstrip("/")
            sampler = Sampler(
                models.pool.session,
                vllm_metrics=f"{first.removesuffix('/v1')}/metrics",
                retrieval_metrics=f"{settings.retrieval_url.rstrip('/')}/metrics",
                path=self.folder.samples,
                writer=writer,
                clock=self.clock,
                segment=segment,
                interval_s=settings.sample_interval_s,
                in_flight=lambda: len(meter.in_flight),
                mono_ms=lambda: sink.mono_ms,
            )
            tasks.append(asyncio.create_task(sampler.run(), name="sampler"))
        for task in tasks:
            task.add_done_callback(_say_if_failed)
        return tasks

    async def _ended(
        self,
        sink: EventLog,
        manifest: Manifest,
        endings: Endings,
        began: float,
    ) -> int:
        stop = self.stop
        reason = stop.reason or "finished"
        failed = endings.failed
        sink.emit(
            RunEnd(
                run_id=self.run_id,
                segment=manifest.segment,
                reason=reason,
                duration_ms=(self.clock.mono() - began) * 1000,
                n_done=endings.done,
                n_error=len(failed),
                n_skipped=endings.skipped,
                n_left=endings.left,
            )
        )
        try:
            await sink.flush()
            manifest.end(iso(self.clock.wall()), reason)
        except LogBroken as error:
            _log.error("the log ends here: %s", error.strerror)
        except OSError as error:
            _log.error("run.json could not be brought up to date: %s", error)
        _log.info(
            "[RUN_END] reason=%s done=%d correct=%d errors=%d skipped=%d left=%d of %d in %s",
            *(reason, endings.done, endings.correct, len(failed), endings.skipped, endings.left, endings.total),
            self.folder.path,
        )
        if failed:
            names = ", ".join(islice(failed.values(), 50))
            more = f" and {len(failed) - 50} more" if len(failed) > 50 else ""
            _log.error("ended in an error: %s%s; the same command runs them again", names, more)
        if stop.message is not None:
            _log.error("stopped: %s", stop.message)
        return 0 if not failed and not endings.left and reason == "finished" else 1

    def _disk_failed(self, error: OSError) -> None:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        what = "the disk is full" if full else f"the log cannot be written ({error})"
        self.stop.request(
            "disk_full" if full else "internal",
            f"{what}: {self.folder.path}; free some space and run the same command again, it goes on from here",
            "now",
        )


def _say_if_failed(task: "asyncio.Task[None]") -> None:
    """A run goes on without its monitor or samples, but not silently."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("the %s ended: %r", task.get_name(), error)


def breaker_limits(settings: Settings) -> BreakerLimits:
    """The breaker's settings."""
    return BreakerLimits(
        threshold=settings.breaker_failures,
        first_s=settings.breaker_first_s,
        longest_s=settings.breaker_longest_s,
        try_s=settings.breaker_try_s,
        wait_s=settings.breaker_wait_s,
    )
