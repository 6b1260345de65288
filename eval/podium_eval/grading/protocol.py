"""The built-in grading protocols by name, and what they have in common."""

from collections.abc import Mapping
from typing import Final, Protocol

from podium_contracts import names

from podium_eval.dataset.question import Question
from podium_eval.grading.hle import HleProtocol
from podium_eval.grading.toolorchestra import ToolOrchestraProtocol
from podium_eval.grading.verdict import Answer, Verdict
from podium_eval.models.chat import Form


class GradingProtocol(Protocol):
    """What sets one protocol apart from another; no I/O."""

    name: names.Protocol
    judge_prompt: str
    """File name of the judge's prompt; of another package its path."""
    answer_prompt: str
    """File name of what an answering expert is asked."""
    answer_form: Form
    """Of EXPERT_FORM=structured: for models too small to keep to a form that they are asked for in words."""

    def extract(self, text: str, max_words: int, *, asked: names.Protocol | None = None) -> Answer:
        """The answer in an expert's text. asked: whose form it was asked for, where that is another protocol."""
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


def grading_of(protocol: names.Protocol | GradingProtocol) -> GradingProtocol:
    """A built-in protocol by its name; one that is given stays as it is."""
    return GRADING[protocol] if isinstance(protocol, str) else protocol
