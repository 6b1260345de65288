"""One prompt file, built in or of that name in PROMPTS_DIR: its text, its hash, and how its slots are filled."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUILT_IN: Final = Path(__file__).parent

_SLOT: Final = re.compile(r"\{([a-z_]+)\}")


class PromptError(ValueError):
    """A prompt or tools file cannot be used; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class PromptFile:
    path: Path
    data: bytes

    @property
    def sha256(self) -> str:
        """Of the file's bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def text(self) -> str:
        """The file's text with line breaks as LF, without a byte order mark.

        Raises:
            PromptError: it is not UTF-8.
        """
        try:
            return self.data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise PromptError(f"{self.path}: is not UTF-8 at byte {error.start}") from error


def read_prompt(name: str, prompts_dir: Path | None = None) -> PromptFile:
    """The prompt `name`: of prompts_dir where a file of that name is there, else the built-in one.

    name: of another package's prompt its path, which stands for the built-in one.

    Raises:
        PromptError: it cannot be read.
    """
    users = None if prompts_dir is None else prompts_dir / Path(name).name
    return read_file(users if users is not None and users.exists() else BUILT_IN / name)


def read_file(path: Path) -> PromptFile:
    """A prompt or tools file by its path. Raises as read_prompt does."""
    try:
        return PromptFile(path, path.read_bytes())
    except OSError as error:
        raise PromptError(f"{path}: {error.strerror}") from error


def slots(text: str) -> list[str]:
    """The names that stand in the text as {name}, in order."""
    return _SLOT.findall(text)


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with each {name} of `values` replaced, all at once: a slot's name inside a value stays as it is."""
    return _SLOT.sub(lambda match: values.get(match[1], match[0]), text)
