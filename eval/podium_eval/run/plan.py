"""What a run asks and whom: questions, prompts, tools, tasks and models, checked before anything is written."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from podium_eval.benchmarks.benchmark import Benchmark
from podium_eval.benchmarks.choose import choose
from podium_eval.benchmarks.hle import HLE
from podium_eval.clock import SYSTEM_CLOCK, Clock
from podium_eval.dataset.hub import load_dataset
from podium_eval.dataset.load import Dataset
from podium_eval.dataset.question import Question
from podium_eval.dataset.selection import DatasetError, Selection, read_ids
from podium_eval.episode.task import Task
from podium_eval.errors import ConfigError
from podium_eval.grading.grader import check_prompts
from podium_eval.grading.protocol import GradingProtocol
from podium_eval.log.sink import EventSink, LateSink
from podium_eval.models.build import build_models
from podium_eval.models.models import Models
from podium_eval.prompts.prompt_file import PromptError, read_prompt
from podium_eval.prompts.templates import Prompts, load_prompts
from podium_eval.run.stop import Stop, early_stop_problem
from podium_eval.settings.read import Settings, listed
from podium_eval.tools.added.build import AddedTools, added_tools
from podium_eval.tools.specs import ToolSpecs, load_tool_specs


@dataclass(frozen=True, slots=True)
class Plan:
    """The selected questions, the prompts, the benchmark and how its answers are graded."""

    dataset: Dataset
    prompts: Prompts
    benchmark: Benchmark
    grading: GradingProtocol

    def tasks(self, settings: Settings) -> list[Task]:
        """Every task of the run: each question in each epoch, in the order in which they are taken."""
        return [
            _task(question, epoch, settings)
            for epoch in range(1, settings.epochs + 1)
            for question in self.dataset.questions
        ]


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools of a task, and of one with an image: only experts that see, None when no answer expert does."""

    everyone: ToolSpecs
    seeing: ToolSpecs | None

    def of(self, task: Task) -> ToolSpecs | None:
        """None: the task cannot be asked."""
        return self.everyone if task.image is None else self.seeing


def selection_of(settings: Settings) -> Selection:
    """The settings' choice of questions. IDS is a file where one of that name is there, else ids themselves."""
    ids: tuple[str, ...] | None = None
    if settings.ids is not None:
        path = Path(settings.ids)
        try:
            there = path.is_file()
        except (OSError, ValueError):
            there = False
        ids = read_ids(path) if there else listed(settings.ids)
    return Selection(
        text_only=settings.text_only,
        categories=listed(settings.category),
        answer_types=listed(settings.answer_type),
        verified_classes=tuple(name.casefold() for name in listed(settings.verified_class)),
        class_field=settings.class_field,
        class_file=settings.class_file,
        ids=ids,
        shuffle_seed=settings.shuffle,
        limit=settings.limit,
    )


def plan(settings: Settings) -> Plan:
    """Choose the benchmark, read the dataset and the prompts.

    Raises:
        ConfigError: all that is wrong with them.
    """
    problems: list[str] = []
    dataset: Dataset | None = None
    prompts: Prompts | None = None
    benchmark, grading = HLE, HLE.protocols[0]
    try:
        benchmark = choose(settings.benchmark)
        grading = benchmark.grading(settings.protocol)
    except ConfigError as error:
        problems += error.problems
    if settings.dataset is None:
        problems.append("DATASET is not set: name a .jsonl or .parquet file of questions, or hub:owner/name")
    else:
        try:
            dataset = load_dataset(settings.dataset, selection_of(settings), settings, benchmark.fields)
        except DatasetError as error:
            problems.append(str(error))
    try:
        prompts = _of_benchmark(
            load_prompts(settings.prompts_dir, settings.tools_file), benchmark, settings.prompts_dir
        )
    except PromptError as error:
        problems.append(str(error))
    try:
        check_prompts(grading, settings.prompts_dir)
    except PromptError as error:
        problems.append(str(error))
    if (problem := early_stop_problem(settings)) is not None:
        problems.append(problem)
    if problems or dataset is None or prompts is None:
        raise ConfigError(problems)
    return Plan(dataset, prompts, benchmark, grading)


def _of_benchmark(prompts: Prompts, benchmark: Benchmark, prompts_dir: Path | None) -> Prompts:
    """With the hashes of the benchmark's own judge prompts, and of no other benchmark's."""
    own = {Path(name).name: name for one in benchmark.protocols for name in (one.judge_prompt, one.answer_prompt)}
    hashes = {name: sha for name, sha in prompts.hashes.items() if not name.startswith("judge_")}
    return replace(prompts, hashes=hashes | {name: read_prompt(own[name], prompts_dir).sha256 for name in sorted(own)})


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
    added: AddedTools


def stopping_models(settings: Settings, sink: EventSink, ids: Mapping[str, Any], stop: Stop, clock: Clock) -> Models:
    """The models of a run or a rejudge; a key that a provider refuses again and again stops it.

    Raises:
        ConfigError: see build_models.
    """
    return build_models(
        settings,
        sink,
        ids=ids,
        concurrency=settings.concurrency,
        auth_failures=settings.auth_failures,
        on_auth_failures=lambda line: stop.request("auth_failures", line, "now"),
        clock=clock,
    )


@asynccontextmanager
async def prepare(
    settings: Settings, run_id: str, clock: Clock = SYSTEM_CLOCK, *, offline: bool = False
) -> AsyncGenerator[Prepared]:
    """Read the plan, build the models and start the added tools, which are closed at the end.

    offline: nothing is started and nobody asked; the added tools are none.

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
        models = stopping_models(settings, sink, ids, stop, clock)
    except ConfigError as error:
        problems += error.problems
    try:
        if planned is None or models is None:
            raise ConfigError(problems)
        async with (
            nullcontext(AddedTools()) if offline else added_tools(settings, clock, planned.benchmark.tools) as added
        ):
            yield Prepared(planned, models, sink, ids, stop, added)
    finally:
        if models is not None:
            await models.aclose()


async def problems_of(settings: Settings) -> list[str]:
    """What keeps a run from starting, as far as is known without a request."""
    try:
        async with prepare(settings, "check", offline=True):
            return []
    except ConfigError as error:
        return list(error.problems)


def plan_tools(prompts: Prompts, models: Models, settings: Settings, added: AddedTools | None = None) -> Tools:
    """The tools that the configured experts allow.

    Raises:
        ConfigError: tools.json or TOOLS cannot be used with the configured experts.
    """
    names = {alias: chat.model for alias, chat in models.experts.items()}
    seeing = {alias: name for alias, name in names.items() if models.experts[alias].vision}
    try:
        added = added or AddedTools()
        everyone = added.choose(load_tool_specs(prompts, names, settings.tool_model_aliases, added.tools))
    except PromptError as error:
        raise ConfigError([str(error)]) from error
    sees = any(alias in seeing for alias in everyone.aliases_of("answer"))
    return Tools(everyone, everyone.only(frozenset(seeing)) if sees else None)


def refuse_images(tasks: Sequence[Task], tools: Tools, settings: Settings) -> None:
    """Raise ConfigError where tasks have an image that no answer expert sees and IMAGE_QUESTIONS refuses them."""
    blind = [task.question.id for task in tasks if task.image is not None] if tools.seeing is None else []
    if blind and settings.image_questions == "refuse":
        raise ConfigError(
            [
                f"{len(blind)} questions have an image and no configured answer expert can see (the first: "
                f"{blind[0]}): configure one, or set TEXT_ONLY=1 or IMAGE_QUESTIONS=skip"
            ]
        )


def _task(question: Question, epoch: int, settings: Settings) -> Task:
    if question.image is None:
        return Task(question, epoch)
    if settings.image_questions == "text":
        return Task(question, epoch, image_hidden=True)
    return Task(question, epoch, image=question.image)
