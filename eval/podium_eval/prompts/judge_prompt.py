"""Prompt files of grading: what the judge is asked, and what an answering expert is asked for the judge's sake."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from podium_eval.prompts.prompt_file import PromptError, fill, read_prompt, slots

SLOTS: Final = ("question", "response", "answer")


@dataclass(frozen=True, slots=True)
class Template:
    """A judge's prompt with the slots {question}, {response} and {answer} (the reference answer)."""

    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def fill(self, *, question: str, response: str, answer: str) -> str:
        """All slots at once: a slot's name inside a question stays as it is."""
        return fill(self.text, {"question": question, "response": response, "answer": answer})


def read_template(name: str, prompts_dir: Path | None = None) -> Template:
    """The judge prompt `name`.

    Raises:
        PromptError: unreadable, or without one of the slots: its judge would grade blindly.
    """
    file = read_prompt(name, prompts_dir)
    template = Template(file.text())
    there = set(slots(template.text))
    if missing := [f"{{{slot}}}" for slot in SLOTS if slot not in there]:
        raise PromptError(f"{file.path}: lacks the slot(s) {', '.join(missing)}")
    return template


def instructions(name: str, prompts_dir: Path | None = None) -> str:
    """The text `name`. Raises PromptError where it cannot be read."""
    return read_prompt(name, prompts_dir).text().strip()
