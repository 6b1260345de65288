"""One start of a run, from the open log to its end. 0: all graded, 1: not all."""

import asyncio
import gc
import logging
from functools import partial
from itertools import islice

from podium_contracts.events import RunEnd, RunStart

from podium_eval.clock import Clock, iso, since_ms
from podium_eval.control.server import serve
from podium_eval.control.steering import Steering, Wheel, named
from podium_eval.log.console import Terminal
from podium_eval.log.event_log import EventLog
from podium_eval.log.meter import Meter
from podium_eval.log.progress import Reporter
from podium_eval.log.redact import Redactor
from podium_eval.log.set_up import open_log
from podium_eval.log.troubles import Troubles
from podium_eval.log.writer import LogWriter
from podium_eval.run.budget import build_budget
from podium_eval.run.build import Account, build_runner, start_background
from podium_eval.run.checkpoint import Checkpoints
from podium_eval.run.folder import Endings, RunFolder, Saved
from podium_eval.run.manifest import Manifest, begin_manifest, next_segment
from podium_eval.run.plan import Prepared, plan_tools, refuse_images
from podium_eval.run.recorder import Output, RunIds
from podium_eval.run.stop import EarlyStop, stopped_by_signals
from podium_eval.settings.read import Settings
from podium_eval.telemetry.metrics import RunMetrics
from podium_eval.telemetry.metrics_server import serving
from podium_eval.telemetry.otel import exporting
from podium_eval.telemetry.trace_context import TraceContext

_log = logging.getLogger(__name__)


class Segment:
    """One start of a run in its folder."""

    def __init__(
        self,
        settings: Settings,
        prepared: Prepared,
        folder: RunFolder,
        redactor: Redactor,
        clock: Clock,
        terminal: Terminal,
    ) -> None:
        self._settings = settings
        self._prepared = prepared
        self._folder = folder
        self._redactor = redactor
        self._clock = clock
        self._terminal = terminal
        self._stop = prepared.stop

    async def run(self) -> int:
        """The exit status. The folder is the caller's, acquired.

        Raises:
            ConfigError: the run in the folder is another one, or the experts cannot do what the tasks need.
            OSError: the folder cannot be written.
        """
        folder = self._folder
        async with open_log(
            folder.events,
            folder.log,
            redactor=self._redactor,
            terminal=self._terminal,
            broken=partial(self._stop.cannot_write, folder.path),
        ) as writer:
            # What imports made stays for good: full collections need not walk it while hundreds of tasks run.
            gc.collect()
            gc.freeze()
            gc.set_threshold(10_000, 20, 20)
            return await self._logged(writer)

    async def _logged(self, writer: LogWriter) -> int:
        settings, folder, prepared = self._settings, self._folder, self._prepared
        if writer.torn_bytes:
            _log.warning("cut %d bytes of an unfinished last line off %s", writer.torn_bytes, folder.events)
        saved = {job.key: job for job in await asyncio.to_thread(lambda: list(folder.saved()))}
        every = prepared.plan.tasks(settings)
        tasks = [task for task in every if self._to_run(saved.get(task.key))]
        endings = Endings(len(every))
        for task in every:
            if (end := saved.get(task.key)) is not None:
                endings.add(end)
        meter = Meter(
            self._clock,
            total=len(tasks),
            before=len(every) - len(tasks) if not settings.retry_errors else 0,
            spent_usd=sum(job.cost_usd or 0.0 for job in saved.values()),
        )
        budget = await asyncio.to_thread(build_budget, settings, meter)
        reporter = Reporter(
            meter, concurrency=settings.concurrency, heartbeat_s=settings.heartbeat_s, live=self._terminal.live
        )
        troubles = Troubles(settings.trouble_in_row, self._in_trouble)
        early_stop = None
        if (goal := settings.stop_at_half_width) is not None:
            early_stop = EarlyStop(goal, saved.values(), lambda line: self._stop.request("half_width", line, "drain"))
            early_stop.look()
        trace = TraceContext() if settings.otel_exporter_otlp_endpoint is not None else None
        metrics = None
        if settings.eval_metrics_port:
            metrics = RunMetrics(meter, prepared.models.limits, prepared.models.breakers, settings.budget)
        account = Account(endings, meter, reporter, budget, troubles, early_stop, trace, metrics)
        prepared.ids["segment"] = next_segment(folder.manifest)
        sink = EventLog(writer, level=settings.log_level, clock=self._clock, observers=account.observers)
        prepared.sink.attach(sink)
        await prepared.models.learn()
        tools = plan_tools(prepared.plan.prompts, prepared.models, settings, prepared.added)
        refuse_images(every, tools, settings)
        manifest = begin_manifest(
            folder.manifest,
            settings,
            prepared.plan,
            prepared.models,
            prepared.ids["run_id"],
            self._clock,
            self._redactor,
            added=prepared.added.describe(),
        )
        ids = RunIds(prepared.ids["run_id"], manifest.segment)
        output = Output(ids, folder, Checkpoints(folder.checkpoints, writer, self._redactor), sink, self._clock)
        began = self._clock.mono()
        sink.emit(
            RunStart(
                run_id=ids.run_id,
                segment=ids.segment,
                protocol=prepared.plan.grading.name,
                concurrency=settings.concurrency,
                max_rounds=settings.max_rounds,
                n_tasks=len(every),
                n_finished=len(every) - len(tasks),
                dataset_sha256=prepared.plan.dataset.sha256,
                orchestrator_model=prepared.models.orchestrator.model,
            )
        )
        for event in folder.unlogged(saved.values(), ids.run_id, ids.segment):
            sink.note(event)
        _log.info(
            "run %s, segment %d: %d of %d tasks to run, %d at once, in %s",
            *(ids.run_id, ids.segment, len(tasks), len(every), settings.concurrency, folder.path),
        )
        if warnings := prepared.plan.dataset.warnings:
            _log.warning(
                "%d question(s) with an image that a model is likely to refuse, the first: %s; "
                "podium-eval data check lists them",
                *(len(warnings), warnings[0]),
            )
        runner = await build_runner(settings, prepared, output, account, tools, tasks, output.checkpoints.begun(saved))
        del every, tasks, saved  # the runner lets go of each task that ends
        background = start_background(settings, prepared.models, output, writer, account)
        try:
            steering = Steering(
                Wheel(runner.pool, runner, self._stop, prepared.models.limits, prepared.models.breakers, endings),
                sink,
                meter,
                run_id=ids.run_id,
                segment=ids.segment,
                find=lambda name: [task for task in prepared.plan.tasks(settings) if named(task, name)],
            )
            async with (
                serve(folder.path, steering.perform, self._clock),
                exporting(settings, folder.path, run_id=ids.run_id, segment=ids.segment, clock=self._clock),
                serving(settings, metrics),
            ):
                with stopped_by_signals(self._stop, settings.grace_s), reporter:
                    await runner.run()
        finally:
            for job in background:
                job.cancel()
            await asyncio.gather(*background, return_exceptions=True)
        return await self._ended(sink, manifest, account, began)

    def _in_trouble(self, line: str) -> None:
        if self._settings.trouble_stops:
            self._stop.request("trouble", f"{line} (TROUBLE_STOPS)", "drain")

    def _to_run(self, before: Saved | None) -> bool:
        if before is None:
            return not self._settings.retry_errors
        return before.status == "error"

    async def _ended(self, sink: EventLog, manifest: Manifest, account: Account, began: float) -> int:
        stop, endings, web = self._stop, account.endings, account.meter.web_failures
        reason = stop.reason or "finished"
        failed = endings.failed
        sink.emit(
            RunEnd(
                run_id=manifest.fields["run_id"],
                segment=manifest.segment,
                reason=reason,
                duration_ms=since_ms(self._clock, began),
                n_done=endings.done,
                n_error=len(failed),
                n_skipped=endings.skipped,
                n_left=endings.left,
                n_web_failed=web.total(),
            )
        )
        try:
            if await sink.end():
                manifest.end(iso(self._clock.wall()), reason)
        except OSError as error:
            _log.error("run.json could not be brought up to date: %s", error)
        _log.info(
            "[RUN_END] reason=%s done=%d correct=%d errors=%d skipped=%d left=%d of %d in %s",
            *(reason, endings.done, endings.correct, len(failed), endings.skipped, endings.left, endings.total),
            self._folder.path,
        )
        if web:
            whys = ", ".join(f"{why} {n}" for why, n in web.most_common())
            _log.warning("the web failed for %d searches: %s; see the retrieval service's log", web.total(), whys)
        if failed:
            names = ", ".join(islice(failed.values(), 50))
            more = f" and {len(failed) - 50} more" if len(failed) > 50 else ""
            _log.error("ended in an error: %s%s; the same command runs them again", names, more)
        for line in account.troubles.lines():
            _log.warning("%s", line)
        unanswered = bool(endings.done) and not endings.answered
        if unanswered:
            _log.error("no task was answered: each ended at a limit, so the score tells nothing of the answers")
        if stop.message is not None:
            _log.log(logging.INFO if reason == "half_width" else logging.ERROR, "stopped: %s", stop.message)
        whole = not failed and (reason == "half_width" or (not endings.left and reason == "finished"))
        return 0 if whole and not unanswered else 1
