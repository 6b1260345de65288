"""Prompt files of grading: what the judge is asked, and what an answering expert is asked for the judge's sake."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUILT_IN: Final = Path(__file__).parent
SLOTS: Final = ("question", "response", "answer")

_SLOT: Final = re.compile(r"\{(" + "|".join(SLOTS) + r")\}")


class BadPrompt(ValueError):
    """A prompt file cannot be read or lacks a slot; the message names it."""


@dataclass(frozen=True, slots=True)
class Template:
    """A judge's prompt with the slots {question}, {response} and {answer} (the reference answer)."""

    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def fill(self, *, question: str, response: str, answer: str) -> str:
        """All slots at once: a slot's name inside a question stays as it is."""
        values = {"question": question, "response": response, "answer": answer}
        return _SLOT.sub(lambda match: values[match[1]], self.text)


def read_template(name: str, prompts_dir: Path | None = None) -> Template:
    """The judge prompt `name`: of prompts_dir where a file of that name is there, else the built-in one.

    Raises:
        BadPrompt: unreadable, or without one of the slots: its judge would grade blindly.
    """
    path = _file(name, prompts_dir)
    template = Template(_read(path))
    there = set(_SLOT.findall(template.text))
    if missing := [f"{{{slot}}}" for slot in SLOTS if slot not in there]:
        raise BadPrompt(f"{path}: lacks the slot(s) {', '.join(missing)}")
    return template


def instructions(name: str, prompts_dir: Path | None = None) -> str:
    """The text `name`, found likewise.

    Raises:
        BadPrompt: unreadable.
    """
    return _read(_file(name, prompts_dir)).strip()


def _file(name: str, prompts_dir: Path | None) -> Path:
    if prompts_dir is not None and (prompts_dir / name).exists():
        return prompts_dir / name
    return BUILT_IN / name


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadPrompt(f"{path}: {error}") from error
