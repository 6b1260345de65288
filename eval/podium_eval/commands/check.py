"""`podium-eval check`: everything that a run needs, tried for real, all at once, in seconds."""

import asyncio
import os
import resource
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

import aiohttp
from podium_contracts.search import SearchRequest
from rich.console import Console
from rich.table import Table

from podium_eval.errors import Failure
from podium_eval.models.chat import Chat, ChatRequest
from podium_eval.models.openai_chat import OpenAIChat
from podium_eval.settings.run import RunSettings
from podium_eval.tools.retrieval_client import RetrievalClient
from podium_eval.tools.sandbox_client import SandboxClient
from podium_eval.tools.specs import ToolSpecs
from podium_eval.transport.json_service import Gate

Status = Literal["ok", "warning", "failed"]
FILES_BESIDE_TASKS = 200
_CLOCK_SKEW_S = 30.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the table."""

    item: str
    status: Status
    detail: str


class OpenGate:
    """A Gate that never closes: a check asks once and says what it got."""

    async def wait(self) -> float:
        """At once."""
        return 0.0

    def succeeded(self) -> None:
        """Nothing to note."""

    def failed(self, reason: str) -> None:
        """Nothing to note."""

    def abandoned(self) -> None:
        """Nothing to note."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is checked. models: experts by alias, and the judge under `judge`."""

    settings: RunSettings
    orchestrator_url: str
    orchestrator_model: str
    tool_choice: str
    orchestrator: Chat
    models: Mapping[str, Chat]
    specs: ToolSpecs
    session: aiohttp.ClientSession


async def check(subject: Subject) -> list[Finding]:
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
        ("orchestrator is served", lambda: _served(subject)),
        ("orchestrator calls tools", lambda: _calls_tools(subject)),
        ("retrieval", lambda: _retrieval(RetrievalClient(subject.session, one_try, gate))),
        ("sandbox", lambda: _sandbox(SandboxClient(subject.session, one_try, gate))),
        ("clock", lambda: _clock(subject)),
    ]
    for names, chat in _distinct(subject.models):
        items.append((names, lambda chat=chat: _answers(chat)))
    found = await asyncio.gather(*(_tried(item, work, settings.check_timeout_s) for item, work in items))
    return [files(settings.concurrency), disk(settings.runs_dir, settings.min_free_mb), *found]


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
    began = time.monotonic()
    try:
        async with asyncio.timeout(limit_s):
            found = await work()
    except TimeoutError:
        return Finding(item, "failed", f"no answer within {limit_s:g} s (CHECK_TIMEOUT_S)")
    except Failure as failure:
        return Finding(item, "failed", f"{failure.error_type}: {failure.message}")
    except (aiohttp.ClientError, OSError) as error:
        return Finding(item, "failed", f"cannot be reached: {error}")
    if isinstance(found, Finding):
        return found
    return Finding(item, "ok", f"{found} ({time.monotonic() - began:.1f} s)")


async def _served(subject: Subject) -> str | Finding:
    said: list[str] = []
    for url in subject.orchestrator_url.split(","):
        address = f"{url.strip().rstrip('/')}/models"
        async with subject.session.get(address) as answer:
            if answer.status != 200:
                return Finding("orchestrator is served", "failed", f"{address} answered {answer.status}")
            body: dict[str, Any] = await answer.json(content_type=None)
        names = [str(model.get("id")) for model in body.get("data", [])]
        if subject.orchestrator_model not in names:
            return Finding(
                "orchestrator is served",
                "failed",
                f"{address} serves {', '.join(names) or 'nothing'}, "
                f"not ORCHESTRATOR_MODEL={subject.orchestrator_model}",
            )
        said.append(url.strip())
    return f"{subject.orchestrator_model} at {', '.join(said)}"


async def _calls_tools(subject: Subject) -> str | Finding:
    item = "orchestrator calls tools"
    required = subject.tool_choice == "required"
    said = await subject.orchestrator.complete(
        ChatRequest(
            system="Call one tool.",
            user="# Problem\nWhat is 6 times 7?\n\n# Your turn\nCall one tool now.",
            tools=subject.specs.specs,
            tool_choice="required" if required else "auto",
            max_tokens=min(512, subject.settings.orchestrator_max_tokens),
        )
    )
    metrics = "per-request metrics" if said.timing_source == "server" else None
    if not said.tool_calls:
        return Finding(
            item,
            "failed" if required else "warning",
            f"the probe came back without a tool call (finish_reason {said.finish_reason}); is vLLM's tool parser on, "
            "or is ORCHESTRATOR_TOOL_CHOICE=required needed?",
        )
    if metrics is None:
        return Finding(
            item,
            "warning",
            "no per-request metrics in the answer: turns are timed by streaming; "
            "start vLLM with --enable-per-request-metrics",
        )
    return f"{said.tool_calls[0].name}, {metrics}"


async def _retrieval(client: RetrievalClient) -> str:
    response = await client.search(SearchRequest(("boiling point of water",), 3))
    return f"{len(response.results[0])} documents for a query"


async def _sandbox(client: SandboxClient) -> str | Finding:
    ran = await client.run("print(1)", 10.0)
    if ran.status != "ok" or ran.stdout.strip() != "1":
        return Finding("sandbox", "failed", f"print(1) ended {ran.status}: {(ran.stderr or ran.stdout)[:200]}")
    return "print(1) runs"


async def _answers(chat: Chat) -> str:
    try:
        said = await chat.complete(ChatRequest(user="Say OK.", max_tokens=16))
    except Failure as failure:
        # A reasoning model may spend 16 tokens on thinking alone; that it answers at all is what is asked.
        if failure.error_type == "bad_response" and "length" in failure.message:
            return f"{chat.provider}/{chat.model}"
        raise
    return f"{said.provider}/{said.model}"


async def _clock(subject: Subject) -> str | Finding:
    address = f"{subject.settings.retrieval_url.rstrip('/')}/health"
    async with subject.session.get(address) as answer:
        date = answer.headers.get("Date")
    if time.time() < 1_700_000_000:
        return Finding("clock", "failed", f"the machine's clock says {time.strftime('%F', time.gmtime())}")
    if date is None:
        return "plausible"
    try:
        skew = abs(time.time() - parsedate_to_datetime(date).timestamp())
    except ValueError:
        return "plausible"
    if skew > _CLOCK_SKEW_S:
        return Finding(
            "clock", "warning", f"differs from retrieval's by {skew:.0f} s: timestamps will not fit together"
        )
    return "agrees with retrieval's"


def _distinct(models: Mapping[str, Chat]) -> list[tuple[str, Chat]]:
    """Each backend once, named by all its aliases."""
    groups: dict[tuple[str, str, tuple[str, ...]], tuple[list[str], Chat]] = {}
    for alias, chat in models.items():
        key = (chat.provider, chat.model, chat.addresses if isinstance(chat, OpenAIChat) else (alias,))
        groups.setdefault(key, ([], chat))[0].append(alias)
    return [(", ".join(names), chat) for names, chat in groups.values()]
