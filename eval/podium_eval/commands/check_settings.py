"""`podium-eval check --settings-only`: the stack's first job lists what is missing, before a model loads."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from podium_eval.errors import ConfigError
from podium_eval.run.plan import plan_tools, prepare, refuse_images
from podium_eval.settings.read import BadSettings, Settings, read_settings
from podium_eval.settings.stack import StackSettings, index_problem


async def check_settings(given: Mapping[str, Any], env_file: str | None, console: Console) -> bool:
    """Print every problem of settings, dataset, prompts, keys and INDEX_DIR as one list; whether there is none.

    Nothing is asked but the hub, where DATASET names one of its datasets, and MCP_SERVERS' servers, started and ended.
    """
    problems: list[str] = []
    settings: Settings | None = None
    try:
        settings = read_settings(given, env_file)
    except BadSettings as error:
        problems += error.problems
        settings = error.usable
    except ConfigError as error:
        problems += error.problems
    summary = ""
    if settings is not None:
        try:
            summary = await _prepared(settings)
        except ConfigError as error:
            problems += error.problems
    index = StackSettings(_env_file=env_file or ".env").index_dir  # pyright: ignore[reportCallIssue]
    if index is not None and (problem := index_problem(index)) is not None:
        problems.append(problem)
    if not problems:
        console.print(summary, markup=False, highlight=False, soft_wrap=True)
        return True
    things = "1 setting is" if len(problems) == 1 else f"{len(problems)} settings are"
    lines = [
        f"podium-eval: {things} missing or wrong; nothing was started:",
        *(f"  - {problem}" for problem in problems),
    ]
    console.print("\n".join(lines), markup=False, highlight=False, soft_wrap=True)
    return False


async def _prepared(settings: Settings) -> str:
    """What a run would be made of, in one line."""
    async with prepare(settings, "check") as prepared:
        benchmark = prepared.plan.benchmark
        tools = plan_tools(prepared.plan.prompts, prepared.models, settings)
        refuse_images(prepared.plan.tasks(settings), tools, settings)
        dataset = prepared.plan.dataset
        return (
            f"podium-eval: the settings are complete: {dataset.n_selected} of {dataset.n} questions of {dataset.path}, "
            f"{len(prepared.models.experts)} expert aliases, benchmark {benchmark.name}, "
            f"protocol {prepared.plan.grading.name}"
        )
