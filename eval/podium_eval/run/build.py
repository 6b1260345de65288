"""Builds the parts of a segment from the settings, each once."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from podium_contracts.events import Event

from podium_eval.episode.context import Knowledge
from podium_eval.episode.loop import EpisodeLoop
from podium_eval.episode.task import Task
from podium_eval.episode.tool_turns import ToolTurns
from podium_eval.errors import ConfigError
from podium_eval.grading.grader import build_grader
from podium_eval.log.meter import Meter
from podium_eval.log.monitor import Monitor
from podium_eval.log.progress import Reporter
from podium_eval.log.sampler import Sampler, Sources
from podium_eval.log.troubles import Troubles
from podium_eval.log.writer import LogWriter
from podium_eval.models.models import Models
from podium_eval.models.openai.endpoints import breaker_limits
from podium_eval.prompts.prompt_file import PromptError
from podium_eval.run.budget import Budget
from podium_eval.run.folder import Endings
from podium_eval.run.plan import Prepared, Tools
from podium_eval.run.recorder import Output, Recorder
from podium_eval.run.runner import Runner, WorkerPool
from podium_eval.run.stop import EarlyStop
from podium_eval.run.task_runner import Restorer, TaskRunner
from podium_eval.scheduling.build import build_replicas
from podium_eval.settings.read import Settings
from podium_eval.telemetry.gpus import GpuProbe, gpu_reader
from podium_eval.telemetry.metrics import RunMetrics
from podium_eval.telemetry.trace_context import TraceContext
from podium_eval.tools.retrieval_client import RetrievalClient
from podium_eval.tools.sandbox_client import SandboxClient
from podium_eval.tools.toolbox import make_toolbox
from podium_eval.transport.circuit_breaker import Breaker

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Account:
    """What a segment counts while it runs."""

    endings: Endings
    meter: Meter
    reporter: Reporter
    budget: Budget | None
    troubles: Troubles
    early_stop: EarlyStop | None = None
    trace: TraceContext | None = None
    metrics: RunMetrics | None = None

    @property
    def observers(self) -> tuple[Callable[[Event], None], ...]:
        """Those who are shown every event."""
        observers = (self.meter.observe, self.reporter.observe, self.troubles.observe)
        others = (self.budget, self.early_stop, self.trace, self.metrics)
        return (*observers, *(part.observe for part in others if part is not None))


async def build_runner(
    settings: Settings,
    prepared: Prepared,
    output: Output,
    account: Account,
    tools: Tools,
    tasks: Sequence[Task],
    begun: frozenset[str],
) -> Runner:
    """The segment's Runner. begun: keys with a checkpoint.

    Raises:
        ConfigError: a prompt of the judge or of the answer cannot be used.
    """
    models, stop = prepared.models, prepared.stop
    counter = models.orchestrator_tokens
    try:
        grader = build_grader(settings, models.judges, output.sink, output.clock, prepared.plan.grading)
    except PromptError as error:
        raise ConfigError([str(error)]) from error
    limits = replace(breaker_limits(settings), threshold=2)
    breaker = partial(Breaker, sink=output.sink, ids=prepared.ids, limits=limits, clock=output.clock)
    session = models.pool.session
    episodes = EpisodeLoop(
        orchestrator=await build_replicas(
            models.orchestrator,
            settings,
            session,
            output.clock,
            at_once=settings.concurrency,
            run_id=output.ids.run_id,
        ),
        tools=ToolTurns(
            make_toolbox(
                models.experts,
                RetrievalClient(session, settings, breaker("retrieval"), output.clock),
                SandboxClient(session, settings, breaker("sandbox"), output.clock),
                grader,
                settings,
                output.clock,
                prepared.added.tools,
            ),
            prompts=prepared.plan.prompts,
            counter=counter,
            prices=models.prices,
            settings=settings,
            clock=output.clock,
        ),
        prompts=prepared.plan.prompts,
        counter=counter,
        settings=settings,
        tool_choice=settings.orchestrator_tool_choice,
    )
    restorer = Restorer(
        output,
        account.meter,
        lambda: Knowledge(counter, settings.context_cut_share),
        failed=frozenset(account.endings.failed),
        begun=begun,
    )
    task_runner = TaskRunner(
        output,
        episodes,
        restorer,
        Recorder(output, grader, account.endings, account.meter, account.reporter),
        meter=account.meter,
        stop=stop,
        timeout_s=settings.task_timeout_s,
    )
    pool = WorkerPool(
        stop,
        output.folder.path,
        concurrency=settings.concurrency,
        grace_s=settings.grace_s,
        ramp_ms=settings.ramp_ms,
        clock=output.clock,
    )
    return Runner(tasks, task_runner, tools.of, begun=begun, pool=pool, stop=stop, budget=account.budget)


def start_background(
    settings: Settings, models: Models, output: Output, writer: LogWriter, account: Account
) -> list["asyncio.Task[None]"]:
    """The heartbeat, the monitor and the sampler, running; the caller cancels them."""
    tasks = [asyncio.create_task(account.reporter.beat(), name="heartbeat")]
    if settings.monitor:
        monitor = Monitor(output.folder.monitor, account.meter, writer, output.clock, settings.monitor_interval_s)
        tasks.append(asyncio.create_task(monitor.run(), name="monitor"))
    if settings.sample_interval_s > 0:
        read_gpus = gpu_reader(settings.sample_gpus)
        sampler = Sampler(
            models.pool.session,
            Sources(
                vllm=[f"{address.removesuffix('/v1')}/metrics" for address in models.orchestrator.addresses],
                retrieval=f"{settings.retrieval_url.rstrip('/')}/metrics",
                in_flight=lambda: len(account.meter.in_flight),
                mono_ms=lambda: output.sink.mono_ms,
                gpus=GpuProbe(read_gpus, output.clock).sample if read_gpus is not None else None,
            ),
            output.folder.samples,
            writer,
            output.clock,
            segment=output.ids.segment,
            interval_s=settings.sample_interval_s,
        )
        tasks.append(asyncio.create_task(sampler.run(), name="sampler"))
    for task in tasks:
        task.add_done_callback(_log_failure)
    return tasks


def _log_failure(task: "asyncio.Task[None]") -> None:
    """A run goes on without its monitor or samples, but not silently."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("the %s ended: %r", task.get_name(), error)
