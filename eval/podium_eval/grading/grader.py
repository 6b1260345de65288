"""Grading as the rest of the eval sees it: a Grader, what experts are asked for, and their answers extracted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from podium_contracts import names
from podium_contracts.records import Judgement

from podium_eval.clock import Clock
from podium_eval.dataset.question import Question
from podium_eval.grading.judge import JudgeGrader
from podium_eval.grading.panel import Panel
from podium_eval.grading.protocol import GradingProtocol, grading_of
from podium_eval.grading.verdict import Answer
from podium_eval.log.sink import EventSink
from podium_eval.models.chat import Chat
from podium_eval.prompts.judge_prompt import Template, instructions, read_template
from podium_eval.settings.judge import JudgeSettings

MAX_WORDS: Final = 500
"""ToolOrchestra's limit: a longer extracted answer counts as no answer."""


class Grader(Protocol):
    """Grades one answer; its own failure is data, not an exception."""

    @property
    def protocol(self) -> names.Protocol: ...
    @property
    def grading(self) -> GradingProtocol: ...

    async def grade(
        self, question: Question, answer: Answer | None, ids: Mapping[str, Any], *, rejudge: bool = False
    ) -> Judgement:
        """One judgement, its llm_call and judge events emitted with `ids` (run_id, task_id, eid, epoch, step, segment).

        correct is True, False, or None with error_type judge_error when the judge failed: ungraded, never wrong.
        None for an answer, or one without what the protocol needs: method `unanswered`, wrong, no judge asked, no
        judge event.
        """
        ...


class GradingSettings(Protocol):
    """The settings that grading reads."""

    @property
    def protocol(self) -> names.Protocol | None: ...
    @property
    def prompts_dir(self) -> Path | None: ...
    @property
    def judging(self) -> JudgeSettings: ...


def build_grader(
    settings: GradingSettings,
    judges: Sequence[Chat],
    sink: EventSink,
    clock: Clock,
    grading: GradingProtocol | None = None,
) -> Grader:
    """The run's Grader: its judge, or a panel of several. grading: the benchmark's; None: HLE's, or as PROTOCOL says.

    Raises:
        BadPrompt: the judge's prompt cannot be used.
    """
    graders = build_judges(settings, judges, sink, clock, grading)
    return graders[0] if len(graders) == 1 else Panel(graders, clock)


def build_judges(
    settings: GradingSettings,
    judges: Sequence[Chat],
    sink: EventSink,
    clock: Clock,
    grading: GradingProtocol | None = None,
) -> list[JudgeGrader]:
    """A grader for each judge; see build_grader.

    Raises:
        PromptError: the judge's prompt cannot be used.
    """
    grading = grading or grading_of(settings.protocol or "hle")
    template = judge_template(grading, settings.prompts_dir)
    return [JudgeGrader(grading, judge, template, settings.judging, sink, clock) for judge in judges]


def judge_template(protocol: names.Protocol | GradingProtocol, prompts_dir: Path | None = None) -> Template:
    """The protocol's judge prompt.

    Raises:
        PromptError: it cannot be read, or lacks a slot.
    """
    return read_template(grading_of(protocol).judge_prompt, prompts_dir)


def check_prompts(protocol: names.Protocol | GradingProtocol, prompts_dir: Path | None = None) -> None:
    """Raise PromptError where a prompt of grading cannot be read or lacks a slot."""
    read_template(grading_of(protocol).judge_prompt, prompts_dir)
    instructions(grading_of(protocol).answer_prompt, prompts_dir)


def answer_instructions(protocol: names.Protocol | GradingProtocol, prompts_dir: Path | None = None) -> str:
    """What the answering expert is asked so that the protocol can read its answer.

    Raises:
        PromptError: the file of prompts_dir cannot be read.
    """
    return instructions(grading_of(protocol).answer_prompt, prompts_dir)


def extract_answer(
    text: str,
    protocol: names.Protocol | GradingProtocol,
    *,
    max_words: int = MAX_WORDS,
    asked: names.Protocol | None = None,
) -> Answer:
    """The answer in an expert's text. extracted None: none that the protocol can read.

    asked: the protocol whose form the expert was asked for, where the answer is graded by another one.
    """
    return grading_of(protocol).extract(text, max_words, asked=asked)
