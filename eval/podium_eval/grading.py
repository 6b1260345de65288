"""What grading means to the rest of the eval: the protocols by name, their prompts, and the Grader a run is given."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from podium_contracts import names
from podium_contracts.records import Judgement

from podium_eval.hle_protocol import HleProtocol
from podium_eval.ports import Answer, Form, Question
from podium_eval.toolorchestra_protocol import ToolOrchestraProtocol
from podium_eval.verdict import Verdict

BUILT_IN: Final = Path(__file__).parent / "prompts"
MAX_WORDS: Final = 500
"""ToolOrchestra's limit: a longer extracted answer counts as no answer."""

_SLOT: Final = re.compile(r"\{(question|answer|response)\}")


class Grader(Protocol):
    """Grades one answer; its own failure is data, not an exception."""

    @property
    def protocol(self) -> names.Protocol: ...

    async def grade(
        self, question: Question, answer: Answer | None, ids: Mapping[str, Any], *, rejudge: bool = False
    ) -> Judgement:
        """One judgement, its llm_call and judge events emitted with `ids` (run_id, task_id, eid, epoch, step, segment).

        correct is True, False, or None with error_type judge_error when the judge failed: ungraded, never wrong.
        None for an answer, or one without what the protocol needs: method `unanswered`, wrong, no judge asked, no
        judge event.
        """
        ...


class GradingProtocol(Protocol):
    """What sets one protocol apart from another; no I/O."""

    name: names.Protocol
    judge_prompt: str
    answer_prompt: str

    def extract(self, text: str, max_words: int) -> Answer:
        """The answer in an expert's text."""
        ...

    def answered(self, answer: Answer) -> bool:
        """Whether there is something to grade."""
        ...

    def settled(self, question: Question, answer: Answer) -> Verdict | None:
        """A verdict that needs no model, or None."""
        ...

    def response(self, answer: Answer) -> str:
        """What the judge is shown."""
        ...

    def form(self, max_chars: int | None) -> Form:
        """The form of the judge's reply."""
        ...

    def read(self, reply: str, answer: Answer) -> Verdict:
        """Raises UnreadableVerdict."""
        ...


GRADING: Final[Mapping[names.Protocol, GradingProtocol]] = {
    "hle": HleProtocol(),
    "toolorchestra": ToolOrchestraProtocol(),
}


@dataclass(frozen=True, slots=True)
class Template:
    """A judge's prompt with the slots {question}, {response} and {answer}."""

    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def fill(self, *, question: str, response: str, answer: str) -> str:
        """All slots at once: a slot's name inside a question stays as it is."""
        values = {"question": question, "response": response, "answer": answer}
        return _SLOT.sub(lambda match: values[match[1]], self.text)

    def missing(self) -> list[str]:
        """Slots that the text lacks: without them a judge grades blindly."""
        there = {match[1] for match in _SLOT.finditer(self.text)}
        return [name for name in ("question", "response", "answer") if name not in there]


class BadPrompt(ValueError):
    """A prompt file cannot be read or lacks a slot; the message names it."""


def judge_template(protocol: names.Protocol, prompts_dir: Path | None = None) -> Template:
    """The protocol's judge prompt: from prompts_dir when a file of that name is there, else the built-in one.

    Raises:
        BadPrompt: unreadable, or a slot is missing.
    """
    path = _file(GRADING[protocol].judge_prompt, prompts_dir)
    template = Template(_read(path))
    if missing := template.missing():
        raise BadPrompt(f"{path}: lacks the slot(s) {', '.join('{' + name + '}' for name in missing)}")
    return template


def answer_instructions(protocol: names.Protocol, prompts_dir: Path | None = None) -> str:
    """What the answering expert is asked so that the protocol can read its answer; replaced by prompts_dir likewise.

    Raises:
        BadPrompt: unreadable.
    """
    return _read(_file(GRADING[protocol].answer_prompt, prompts_dir)).strip()


def extract_answer(text: str, protocol: names.Protocol, *, max_words: int = MAX_WORDS) -> Answer:
    """The answer in an expert's text. extracted None: none that the protocol can read."""
    return GRADING[protocol].extract(text, max_words)


def _file(name: str, prompts_dir: Path | None) -> Path:
    if prompts_dir is not None and (prompts_dir / name).is_file():
        return prompts_dir / name
    return BUILT_IN / name


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadPrompt(f"{path}: {error}") from error
