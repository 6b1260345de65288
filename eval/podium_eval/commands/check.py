"""`podium-eval check`: everything that a run needs, tried for real, all at once, in seconds."""

import asyncio
import os
import resource
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from rich.console import Console
from rich.table import Table

from podium_eval.clock import SYSTEM_CLOCK
from podium_eval.commands.check_items import (
    Finding,
    OpenGate,
    Status,
    Subject,
    answers,
    calls_tools,
    clocks_agree,
    distinct,
    judges,
    runs_programs,
    searches,
    served,
)
from podium_eval.commands.check_tools import tool_items
from podium_eval.errors import Failure
from podium_eval.models.models import judge_names
from podium_eval.models.providers import ProviderTable
from podium_eval.run.plan import Plan, Prepared, plan_tools, prepare
from podium_eval.settings.read import Settings
from podium_eval.tools.added.build import AddedTools
from podium_eval.tools.retrieval_client import RetrievalClient
from podium_eval.tools.sandbox_client import SandboxClient
from podium_eval.tools.specs import ToolSpecs
from podium_eval.transport.json_service import Gate

FILES_BESIDE_TASKS = 200


async def check(subject: Subject, added: AddedTools) -> list[Finding]:
    """Try every item; each within CHECK_TIMEOUT_S, all at the same time. In the table's order."""
    settings = subject.settings
    gate: Gate = OpenGate()
    one_try = settings.model_copy(
        update={
            "retrieval_attempts": 1,
            "sandbox_attempts": 1,
            "retrieval_timeout_s": min(settings.retrieval_timeout_s, settings.check_timeout_s),
            "sandbox_wait_s": settings.check_timeout_s,
        }
    )
    items: list[tuple[str, Callable[[], Awaitable[str | Finding]]]] = [
        ("orchestrator is served", lambda: served(subject)),
        ("orchestrator calls tools", lambda: calls_tools(subject)),
        ("retrieval", lambda: searches(RetrievalClient(subject.session, one_try, gate))),
        ("sandbox", lambda: runs_programs(SandboxClient(subject.session, one_try, gate))),
        ("clock", lambda: clocks_agree(subject)),
    ]
    providers = ProviderTable.load(settings.models_file)
    for names, chat in distinct(subject.experts):
        row = providers.provider(chat.provider)
        own = row is not None and row.local
        items.append((names, lambda chat=chat, own=own: answers(chat, settings.expert_temperature, own=own)))
    items += tool_items(added)
    items += [
        (name, lambda name=name, chat=chat: judges(name, chat, settings, subject.grading))
        for name, chat in subject.judges.items()
    ]
    results = await asyncio.gather(*(_tried(item, work, settings.check_timeout_s) for item, work in items))
    return [files(settings.concurrency), disk(settings.runs_dir, settings.min_free_mb), *results]


def files(concurrency: int) -> Finding:
    """Whether the process may open a socket for each task; the soft limit is raised to the hard one where it can be."""
    needed = concurrency + FILES_BESIDE_TASKS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed and (hard == resource.RLIM_INFINITY or hard >= needed):
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed if hard == resource.RLIM_INFINITY else hard, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft < needed:
        return Finding(
            "open files",
            "failed",
            f"{soft} allowed, CONCURRENCY={concurrency} needs {needed}: raise it (ulimit -n {needed}; in compose "
            "ulimits.nofile) or lower CONCURRENCY",
        )
    return Finding("open files", "ok", f"{soft} allowed, {needed} needed")


def disk(folder: Path, min_free_mb: int) -> Finding:
    """Whether the runs' folder can be written and has room."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding("disk", "failed", f"RUNS_DIR={folder} cannot be written by user {os.getuid()}")
    free_mb = shutil.disk_usage(there).free >> 20
    if free_mb < min_free_mb:
        return Finding("disk", "failed", f"{free_mb} MB free in {folder}, MIN_FREE_MB={min_free_mb}")
    return Finding("disk", "ok", f"{free_mb} MB free in {folder}")


def table(findings: list[Finding]) -> Table:
    """The findings for a person."""
    shown = Table(title="podium-eval check", title_justify="left", expand=False)
    shown.add_column("item", overflow="fold")
    shown.add_column("status")
    shown.add_column("detail", overflow="fold")
    colours: dict[Status, str] = {"ok": "green", "warning": "yellow", "failed": "red"}
    for finding in findings:
        colour = colours[finding.status]
        shown.add_row(_plain(finding.item), f"[{colour}]{finding.status}[/{colour}]", _plain(finding.detail))
    return shown


def show(findings: list[Finding], console: Console) -> bool:
    """Print the table. Returns whether a run may start."""
    console.print(table(findings))
    return all(finding.status != "failed" for finding in findings)


def _plain(text: str) -> str:
    return text.replace("[", "\\[")


async def _tried(item: str, work: Callable[[], Awaitable[str | Finding]], limit_s: float) -> Finding:
    began = SYSTEM_CLOCK.mono()
    try:
        async with SYSTEM_CLOCK.timeout(limit_s):
            result = await work()
    except TimeoutError:
        return Finding(item, "failed", f"no answer within {limit_s:g} s (CHECK_TIMEOUT_S)")
    except Failure as failure:
        return Finding(item, "failed", f"{failure.error_type}: {failure.message}")
    except (aiohttp.ClientError, OSError) as error:
        return Finding(item, "failed", f"cannot be reached: {error}")
    if isinstance(result, Finding):
        return result
    return Finding(item, "ok", f"{result} ({SYSTEM_CLOCK.mono() - began:.1f} s)")


async def checked(settings: Settings, console: Console) -> bool:
    """Print the table; whether a run may start.

    Raises:
        ConfigError: the settings, the dataset or the prompts are wrong.
    """
    async with prepare(settings, "check") as prepared:
        return await check_prepared(settings, prepared, console)


async def check_prepared(settings: Settings, prepared: Prepared, console: Console) -> bool:
    """Check with the plan and the models that a run will use, and print the table; whether it may start.

    Raises:
        ConfigError: tools.json cannot be used with the configured experts.
    """
    models, dataset = prepared.models, prepared.plan.dataset
    tools = plan_tools(prepared.plan.prompts, models, settings, prepared.added)
    console.print(f"dataset: {dataset.path}: {dataset.n_selected} of {dataset.n} questions, ids unique", markup=False)
    for line in benchmark_lines(prepared.plan, tools.everyone):
        console.print(line, markup=False, soft_wrap=True)
    subject = Subject(
        settings=settings,
        grading=prepared.plan.grading,
        orchestrator_url=settings.orchestrator_url,
        orchestrator_model=settings.orchestrator_model,
        tool_choice=settings.orchestrator_tool_choice,
        orchestrator=models.orchestrator,
        experts=models.experts,
        judges=judge_names(models.judges),
        specs=tools.everyone,
        session=models.pool.session,
    )
    return show(await check(subject, prepared.added), console)


def benchmark_lines(plan: Plan, specs: ToolSpecs) -> list[str]:
    """What a benchmark other than HLE is graded by and wants, and what of that is not there."""
    benchmark, n = plan.benchmark, plan.dataset.n_selected
    if benchmark.name == "hle":
        return []
    corpus = f"; the index should hold {benchmark.corpus}" if benchmark.corpus else ""
    lines = [f"benchmark: {benchmark.title} ({benchmark.source}), protocol {plan.grading.name}{corpus}"]
    if benchmark.n_questions not in (None, n):
        lines.append(f"! {n} questions are asked; published scores of {benchmark.title} are of {benchmark.n_questions}")
    if missing := benchmark.missing([spec.name for spec in specs.specs]):
        lines.append(f"! {benchmark.title} is meant for {', '.join(missing)} too, which this run does not offer")
    return lines


def plain_console() -> Console:
    """A console for tables: as wide as the terminal, and 120 columns where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=120)
