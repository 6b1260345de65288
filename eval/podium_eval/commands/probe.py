"""`podium-eval probe`: one real question to a model through the run's own prompts, and what came of it."""

import argparse
import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from podium_contracts.names import ALIASES
from rich.console import Console
from rich.table import Table

from podium_eval.benchmarks.choose import choose
from podium_eval.clock import SystemClock
from podium_eval.dataset.question import Question
from podium_eval.errors import ConfigError, Failure
from podium_eval.grading.grader import answer_instructions, build_grader, extract_answer
from podium_eval.grading.verdict import Answer
from podium_eval.log.sink import Discard
from podium_eval.models.build import build_models
from podium_eval.models.chat import Chat, ChatRequest, ChatResult
from podium_eval.models.models import judge_names
from podium_eval.prompts.templates import Prompts, load_prompts
from podium_eval.settings.read import Settings, read_settings
from podium_eval.tools.extraction import program_of, query_of

_QUESTION: Final = Question(
    id="probe", eid=0, question="What is the smallest prime number that is greater than 100?", answer="101"
)
_JUDGED: Final = Answer(text="It is 101, one hundred and one.", extracted="one hundred and one", confidence=90.0)
"""Not the reference's own letters, so that no protocol settles it without asking the judge."""

_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Probed:
    """What came of one probe. extracted: the query, program, answer or verdict read from the reply; None: none."""

    name: str
    configured: str
    result: ChatResult | None
    extracted: str | None
    failure: str | None

    @property
    def good(self) -> bool:
        """It answered, and what a run needs of the answer is in it."""
        return self.failure is None and self.extracted is not None


async def probe(args: Sequence[str], settings: Settings, console: Console) -> int:
    """Exit status: 0 when every probed model gave what a run needs, else 1.

    Raises:
        ConfigError: an alias is unknown or not configured, or the settings are wrong.
    """
    parser = argparse.ArgumentParser(prog="podium-eval probe", description="Ask configured models one real question.")
    parser.add_argument("names", nargs="+", metavar="ALIAS", help=f"all, judge, or of {', '.join(ALIASES)}")
    parser.add_argument("--env-file", metavar="FILE", help="read variables from FILE; the environment wins")
    given = parser.parse_args(list(args))
    names: list[str] = given.names
    if given.env_file is not None:
        settings = read_settings({}, given.env_file)
    models = build_models(settings, Discard(), ids={"run_id": "probe"}, concurrency=len(ALIASES) + 1)
    chats: dict[str, Chat] = {**models.experts, **judge_names(models.judges)}
    try:
        chosen = list(chats) if "all" in names else list(dict.fromkeys(names))
        missing = [name for name in chosen if name not in chats]
        if missing:
            raise ConfigError([f"{name} is no configured alias; there are {', '.join(chats)}" for name in missing])
        prompts = load_prompts(settings.prompts_dir, settings.tools_file)
        console.print(f"question: {_QUESTION.question}", markup=False)
        probed = await asyncio.gather(*(_one(name, chats[name], prompts, settings) for name in chosen))
    finally:
        await models.aclose()
    console.print(table(probed))
    for probe in probed:
        if probe.failure is not None:
            console.print(f"{probe.name}: {probe.failure}", markup=False, soft_wrap=True)
    return 0 if all(probe.good for probe in probed) else 1


async def _one(name: str, chat: Chat, prompts: Prompts, settings: Settings) -> Probed:
    heard = _Heard(chat)
    configured = f"{chat.provider}/{chat.model}"
    try:
        if name.startswith("judge"):
            extracted = await _judged(heard, settings)
        else:
            extracted = await _asked(name, heard, prompts, settings)
    except Failure as failure:
        return Probed(name, configured, heard.result, None, f"{failure.error_type}: {failure.message}")
    return Probed(name, configured, heard.result, extracted, None)


async def _asked(name: str, chat: "_Heard", prompts: Prompts, settings: Settings) -> str | None:
    values: Mapping[str, str] = {"problem": _QUESTION.question, "knowledge": "Nothing yet."}
    kind = name.split("-", 1)[0]
    if kind == "search":
        text = (await chat.complete(_request(prompts.fill("search.md", **values), settings))).text
        return query_of(text)
    if kind == "reasoner":
        seconds = f"{settings.sandbox_timeout_s:g}"
        prompt = prompts.fill("enhance_reasoning.md", seconds=seconds, **values)
        return program_of((await chat.complete(_request(prompt, settings))).text)
    grading = choose(settings.benchmark).grading(settings.protocol)
    form = answer_instructions(grading, settings.prompts_dir)
    prompt = prompts.fill("answer.md", answer_form=form, **values)
    text = (await chat.complete(_request(prompt, settings))).text
    return extract_answer(text, grading, max_words=settings.answer_max_words).extracted


async def _judged(chat: "_Heard", settings: Settings) -> str | None:
    grading = choose(settings.benchmark).grading(settings.protocol)
    grader = build_grader(settings, [chat], Discard(), SystemClock(), grading)
    judgement = await grader.grade(_QUESTION, _JUDGED, {"run_id": "probe"})
    if judgement.correct is None:
        kind = judgement.error_type or "judge_error"
        raise Failure(kind, judgement.error_message or "the judge's reply holds no verdict")
    return f"correct: {'yes' if judgement.correct else 'no'}"


def _request(prompt: str, settings: Settings) -> ChatRequest:
    return ChatRequest(user=prompt, temperature=settings.expert_temperature)


def table(probed: Sequence[Probed]) -> Table:
    """One row a model; what a server does not report is shown as '?'."""
    shown = Table(box=None, pad_edge=False)
    for heading in ("alias", "configured", "answered by", "seconds", "tokens in", "out", "USD", "extracted"):
        shown.add_column(heading, overflow="fold")
    for probe in probed:
        result = probe.result
        shown.add_row(
            probe.name,
            probe.configured,
            "-" if result is None else result.model,
            "-" if result is None else f"{result.duration_ms / 1000:.2f}",
            "-" if result is None else _known(result.prompt_tokens),
            "-" if result is None else _known(result.completion_tokens),
            "-" if result is None else ("?" if result.cost_usd is None else f"{result.cost_usd:.6f}"),
            _cut(probe.extracted) if probe.failure is None else "failed",
        )
    return shown


def _known(value: int | None) -> str:
    return "?" if value is None else str(value)


def _cut(text: str | None) -> str:
    if text is None:
        return "nothing"
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN else f"{flat[:_SHOWN]}…"


class _Heard:
    """A Chat that remembers what it last answered."""

    def __init__(self, chat: Chat) -> None:
        self._chat = chat
        self.result: ChatResult | None = None

    @property
    def provider(self) -> str:
        return self._chat.provider

    @property
    def model(self) -> str:
        return self._chat.model

    @property
    def vision(self) -> bool:
        return self._chat.vision

    @property
    def context_tokens(self) -> int | None:
        return self._chat.context_tokens

    async def complete(self, request: ChatRequest) -> ChatResult:
        self.result = await self._chat.complete(replace(request, wait_if_down=False))
        return self.result
