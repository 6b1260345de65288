"""Builds the parts of a run from its settings, each once."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from podium_contracts.events import Event

from podium_eval.costs.estimate import estimate
from podium_eval.costs.prices import Prices
from podium_eval.costs.usage import finished_tasks, past_runs
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
from podium_eval.log.sink import LateSink
from podium_eval.log.troubles import Troubles
from podium_eval.log.writer import LogWriter
from podium_eval.models.build import build_models
from podium_eval.models.models import Models, configured_models
from podium_eval.models.openai.endpoints import breaker_limits
from podium_eval.models.providers import ProviderTable
from podium_eval.prompts.judge_prompt import BadPrompt
from podium_eval.run.budget import Budget, unpriced_problem
from podium_eval.run.folder import Endings
from podium_eval.run.plan import Plan, Tools, plan
from podium_eval.run.recorder import Output, Recorder
from podium_eval.run.runner import Runner, WorkerPool
from podium_eval.run.stop import EarlyStop, Stop
from podium_eval.run.task_runner import Restorer, TaskRunner
from podium_eval.scheduling.build import build_replicas
from podium_eval.settings.read import Settings
from podium_eval.tools.retrieval_client import RetrievalClient
from podium_eval.tools.sandbox_client import SandboxClient
from podium_eval.tools.toolbox import make_toolbox
from podium_eval.transport.circuit_breaker import Breaker

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is made once, before a run's folder is touched, and used by the check and by the run.

    sink: of the models; keeps nothing until the run's log is attached. ids: run_id and segment of their events; the
    segment is known when the folder is.
    """

    plan: Plan
    models: Models
    sink: LateSink
    ids: dict[str, Any]
    stop: Stop


@dataclass(frozen=True, slots=True)
class Account:
    """What a segment counts while it runs."""

    endings: Endings
    meter: Meter
    reporter: Reporter
    budget: Budget | None
    troubles: Troubles
    early_stop: EarlyStop | None = None

    @property
    def observers(self) -> tuple[Callable[[Event], None], ...]:
        """Those who are shown every event."""
        observers = (self.meter.observe, self.reporter.observe, self.troubles.observe)
        others = (part.observe for part in (self.budget, self.early_stop) if part is not None)
        return (*observers, *others)


@asynccontextmanager
async def prepare(settings: Settings, run_id: str) -> AsyncGenerator[Prepared]:
    """Read the plan and build the models, which are closed at the end.

    Raises:
        ConfigError: all that is wrong with the settings, the dataset and the prompts, at once.
    """
    problems: list[str] = []
    planned: Plan | None = None
    models: Models | None = None
    stop, sink, ids = Stop(), LateSink(), {"run_id": run_id, "segment": 0}
    try:
        planned = plan(settings)
    except ConfigError as error:
        problems += error.problems
    try:
        models = build_models(
            settings,
            sink,
            ids=ids,
            concurrency=settings.concurrency,
            auth_failures=settings.auth_failures,
            on_auth_failures=lambda line: stop.request("auth_failures", line, "now"),
        )
    except ConfigError as error:
        problems += error.problems
    try:
        if planned is None or models is None:
            raise ConfigError(problems)
        yield Prepared(planned, models, sink, ids, stop)
    finally:
        if models is not None:
            await models.aclose()


async def problems_of(settings: Settings) -> list[str]:
    """What keeps a run from starting, as far as can be told without asking anybody."""
    try:
        async with prepare(settings, "check"):
            return []
    except ConfigError as error:
        return list(error.problems)


def build_budget(settings: Settings, meter: Meter) -> Budget | None:
    """The run's Budget, told what a task costs by past runs and today's prices; None without BUDGET.

    Raises:
        ConfigError: a model of a paid provider has no price, or a model or the price file is wrong.
    """
    if settings.budget is None:
        return None
    models = dict(configured_models(settings))
    prices = Prices.load(settings.prices_file)
    providers = ProviderTable.load(settings.models_file)
    table = {name: prices.tokens(provider, model) for name, (provider, model) in models.items()}
    names = {name: f"{provider}/{model}" for name, (provider, model) in models.items()}
    paid = [
        names[name]
        for name, (provider, _) in models.items()
        if table[name] is None and (row := providers.provider(provider)) is not None and not row.local
    ]
    if (problem := unpriced_problem(settings.budget, paid)) is not None:
        raise ConfigError([problem])
    past = finished_tasks(past_runs(settings.runs_dir))
    expected = estimate(past, len(past), 1, names, table, prices.units()).usd_per_task if past else None
    return Budget(settings.budget, meter, expected_usd=expected)


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
        grader = build_grader(settings, models.judges, output.sink, output.clock)
    except BadPrompt as error:
        raise ConfigError([str(error)]) from error
    limits = replace(breaker_limits(settings), threshold=2)
    breaker = partial(Breaker, sink=output.sink, ids=prepared.ids, limits=limits)
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
                RetrievalClient(session, settings, breaker("retrieval")),
                SandboxClient(session, settings, breaker("sandbox")),
                grader,
                settings,
                output.clock,
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
        sampler = Sampler(
            models.pool.session,
            Sources(
                vllm=[f"{one.removesuffix('/v1')}/metrics" for one in models.orchestrator.addresses],
                retrieval=f"{settings.retrieval_url.rstrip('/')}/metrics",
                in_flight=lambda: len(account.meter.in_flight),
                mono_ms=lambda: output.sink.mono_ms,
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
